#!/usr/bin/env bash
# Make $VENV from the lock file, anew when that has changed. An interrupted run is simply repeated:
# the copy of the lock file that says "all is installed" is written last.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
lock=services/app/requirements/development.txt

die() {
  printf 'venv: %s\n' "$@" >&2
  exit 1
}

# The command that installs a package here: name on Debian and Ubuntu, name in Homebrew.
with() { if [ "$(uname)" = Darwin ]; then echo "brew install $2"; else echo "sudo apt install $1"; fi; }

# The user's own python3 first. Ours, inside the venv, must not build itself.
find_python() {
  local name found
  for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    found=$(PATH=${PATH//"$PWD/$venv/bin:"/} command -v "$name") || continue
    "$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo "$found" && return
  done
  return 1
}

cmp -s "$lock" "$venv/installed.txt" && "$venv/bin/python" -c '' 2>/dev/null && exit 0

python=$(find_python) || die "Python 3.11 or newer is missing: $(with python3.13 python@3.13)"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  die "Python's venv module is missing: $(with python3-venv python@3.13)"

echo "venv: installing into $venv with $("$python" --version), which takes a minute"
rm -f "$venv/installed.txt"
"$python" -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
cp "$lock" "$venv/installed.txt"
