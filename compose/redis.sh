#!/usr/bin/env bash
# Start Redis with its password, which comes by standard input: a process list shows arguments.
set -Eeuo pipefail

exec redis-server "$@" - <<<"requirepass \"${REDISCLI_AUTH:?}\""
