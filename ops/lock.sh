#!/usr/bin/env bash
# Write the four lock files from their .in files. Arguments go to uv: --upgrade, -P django.
# The development lock takes its versions from the others: what is tested is what is deployed.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

lock() {
  local file=$1
  shift
  echo "lock: $file.txt"
  "${VENV:-.venv}/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --custom-compile-command "make lock" "$@" "$file.in" -o "$file.txt"
}

app=services/app/requirements
lock $app/production "$@"
lock services/flower/requirements -c $app/production.txt "$@"
lock services/minio/requirements -c $app/production.txt "$@"
lock $app/development -c $app/production.txt -c services/flower/requirements.txt \
  -c services/minio/requirements.txt "$@"
