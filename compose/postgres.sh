#!/usr/bin/env bash
# Start Postgres with the password that `.env` holds now: the image's own entrypoint sets it when it
# makes a volume, and never again. Single-user mode, so nobody connects before it is set.
set -Eeuo pipefail

if [[ -s $PGDATA/PG_VERSION ]]; then
  echo "ALTER ROLE \"$POSTGRES_USER\" PASSWORD '${POSTGRES_PASSWORD//\'/\'\'}'" |
    postgres --single -c exit_on_error=on -c log_min_messages=warning -D "$PGDATA" postgres >/dev/null
fi
# The session of a client that vanished silently ends after 25 s, with its locks.
set -- "$@" \
  -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 \
  -c tcp_user_timeout=25s -c client_connection_check_interval=5s
# Log errors without their statements, which contain visitors' file names and links.
exec docker-entrypoint.sh "$@" -c log_min_error_statement=panic -c log_error_verbosity=terse
