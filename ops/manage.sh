#!/usr/bin/env bash
# manage.py with the arguments given: in a container of the running stack, else with the local
# run's database. Files that it writes (makemigrations, makemessages) belong to the caller.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- help
compose=(python3 -m ops.compose)
"${compose[@]}"
stack_runs() { [ -n "$("${compose[@]}" ps --quiet --status running web 2>/dev/null)" ]; }

terminal=()
[ -t 0 ] || terminal=(-T)

case $1 in
dbshell) # the database's own client, which the app's image has no use for
  if stack_runs; then
    shift
    [ "${1:-}" != -- ] || shift
    exec "${compose[@]}" exec ${terminal[@]+"${terminal[@]}"} postgres psql -U s3tasks "$@" s3tasks
  fi
  ;;
*)
  if stack_runs; then
    # Beside /srv/app, where Compose keeps its own mount of the code, which is read-only.
    options=(--rm --no-deps --volume "$PWD/services/app:/srv/code" --workdir /srv/code)
    options+=(--user "$(id -u):$(id -g)" ${terminal[@]+"${terminal[@]}"})
    exec "${compose[@]}" run "${options[@]}" web python manage.py "$@"
  fi
  ;;
esac
ops/venv.sh
exec "${VENV:-.venv}/bin/python" -m local.run python manage.py "$@"
