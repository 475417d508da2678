#!/usr/bin/env bash
# A self-signed certificate for Postgres and Redis under `make dyno`, with the key once for each:
# Postgres refuses a key that others may read.
set -Eeuo pipefail
cd /srv/certificates

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
  -subj /CN=dyno -keyout postgres.pem -out certificate.pem 2>/dev/null
cp postgres.pem redis.pem
chown postgres postgres.pem
chmod 600 postgres.pem
chmod 644 redis.pem certificate.pem
