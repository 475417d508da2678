#!/usr/bin/env bash
# manage.py with the arguments given: in a container of the running stack, else with the local
# run's database. Files that it writes (makemigrations, makemessages) belong to the caller.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- help

# Word-split on purpose: COMPOSE may be `docker compose` or `podman-compose`.
# shellcheck disable=SC2206
compose=(${COMPOSE:-docker compose})

if [ -n "$("${compose[@]}" ps --quiet --status running web 2>/dev/null)" ]; then
  options=(--rm --no-deps --user "$(id -u):$(id -g)" --volume "$PWD/services/app:/srv/app")
  [ -t 0 ] || options+=(-T)
  exec "${compose[@]}" run "${options[@]}" web python manage.py "$@"
fi
local/venv.sh
exec "${VENV:-.venv}/bin/python" local/run.py python manage.py "$@"
