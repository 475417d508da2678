#!/usr/bin/env bash
# Remove the data of both ways of running: the stack's volumes and .local. Says what it removes.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

compose=(python3 -m ops.compose)
"${compose[@]}"
python=${VENV:-.venv}/bin/python

# The project's name is the same in every checkout, and so are its volumes.
folders=$("${compose[@]}" ps --all --format json 2>/dev/null | grep -o 'project.working_dir=[^,"]*') || true
while IFS= read -r folder; do
  [ -z "$folder" ] || [ "${folder#*=}" -ef . ] || {
    echo "clean: the stack belongs to ${folder#*=}: run it there" >&2
    exit 1
  }
done <<<"$folders"

# Refuses while a local run uses its folder; without a venv nothing can run.
[ ! -d .local ] || [ ! -x "$python" ] || "$python" -m local.run --stopped

if "${compose[@]}" ps --quiet >/dev/null 2>&1; then
  echo "clean: the stack's containers and volumes"
  "${compose[@]}" down --volumes --remove-orphans
fi
if [ -d .local ]; then
  echo "clean: .local, $(du -sh .local | cut -f1): database and uploads of make local"
  rm -rf .local
fi
echo "clean: done; .env and .venv stay"
