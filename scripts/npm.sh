#!/usr/bin/env bash
# npm.sh: what checks the JavaScript (the linter, the types), into node_modules as package-lock.json pins it; or says what to
# install and ends with 2.
set -eu

if ! command -v npm >/dev/null 2>&1; then
  echo "wfmon: npm fetches what checks the JavaScript (the app does not need it): install it with 'sudo apt-get install npm'." >&2
  exit 2
fi
echo "wfmon: installing package-lock.json into node_modules"
exec npm ci --silent </dev/null
