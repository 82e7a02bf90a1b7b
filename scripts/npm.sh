#!/usr/bin/env bash
# npm.sh: installs the JavaScript checks (linter, types) into node_modules as pinned in package-lock.json, or prints what to
# install and exits with 2.
set -eu

if ! command -v npm >/dev/null 2>&1; then
  echo "wfmon: npm installs the JavaScript checks (the app does not need it): install it with 'sudo apt-get install npm'." >&2
  exit 2
fi
echo "wfmon: installing package-lock.json into node_modules"
exec npm ci --silent </dev/null
