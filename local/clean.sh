#!/usr/bin/env bash
# Remove the data of both ways of running: the stack's volumes and .local. Says what it removes.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# shellcheck disable=SC2206 # word-split on purpose, as in manage.sh
compose=(${COMPOSE:-docker compose})
python=${VENV:-.venv}/bin/python

# Refuses while a local run uses its folder; without a venv nothing can run.
[ ! -d .local ] || [ ! -x "$python" ] || "$python" local/run.py --stopped

if "${compose[@]}" ps --quiet >/dev/null 2>&1; then
  echo "clean: the stack's containers and volumes"
  "${compose[@]}" down --volumes --remove-orphans
fi
if [ -d .local ]; then
  echo "clean: .local, $(du -sh .local | cut -f1): database and uploads of make local"
  rm -rf .local
fi
echo "clean: done; .env and .venv stay"
