#!/usr/bin/env bash
# Every check of the code. All run, each says how it went, and one that fails fails the whole.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

PATH=$PWD/${VENV:-.venv}/bin:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=""
yaml="{extends: default, rules: {line-length: {max: 100}, document-start: disable}}"

# Production's settings with throw-away values, whatever `.env` says; nothing connects.
export PYTHONPATH=services/app SETTINGS_MODULE_PATH=s3tasks.settings.production DEBUG=False
export SECRET_KEY="$RANDOM-a-long-word-that-signs-nothing-and-is-gone-in-a-second-$RANDOM"
export DATABASE_URL=postgres://127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1 ALLOWED_HOSTS=s3tasks.test
export TRUSTED_PROXIES=1 USE_S3=True AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_STORAGE_BUCKET_NAME=none

check() {
  printf '%-16s' "$1"
  if "${@:2}" >"$scratch/out" 2>&1; then echo ok; else
    echo FAILED && cat "$scratch/out"
    failed+=" $1"
  fi
}
# What git knows or would add: data and the venv are left out.
files() { git ls-files -co --exclude-standard -- "$@" | while read -r f; do [ ! -f "$f" ] || echo "$f"; done; }
compose() { (cd "$scratch" && ${COMPOSE:-docker compose} "$@" config --quiet); }
production() { SITE_ADDRESS=lint STORAGE_ADDRESS=$1 compose ${1:+--profile minio} --env-file .env.production -f docker-compose.yml -f docker-compose.prod.yml; }

check ruff ruff check
check format ruff format --check
check mypy mypy
check imports lint-imports
check djlint djlint --quiet --lint --check services/app
check hadolint xargs hadolint <<<"$(files '*Dockerfile')"
shells=$(files | xargs grep -lE '^#!.*bash$')
check shellcheck xargs shellcheck <<<"$shells"
check shfmt xargs shfmt --indent 2 --diff <<<"$shells"
check yamllint xargs yamllint --strict -d "$yaml" <<<"$(files '*.yml' '*.yaml')"
check typos typos
check migrations python services/app/manage.py makemigrations --check --dry-run
check deploy python services/app/manage.py check --deploy --fail-level WARNING

if ${COMPOSE:-docker compose} version >/dev/null 2>&1; then # the client is enough
  cp -R docker-compose*.yml compose "$scratch"
  python -m ops.envfile "$scratch/.env" >/dev/null
  python -m ops.envfile "$scratch/.env.production" >/dev/null
  check compose compose -f docker-compose.yml
  check production production ""
  check production production s3.lint
else
  echo "compose         skipped: ${COMPOSE:-docker compose} is not installed"
fi
[ -z "$failed" ] || { echo "lint: failed:$failed" && exit 1; }
