#!/usr/bin/env bash
# node.sh FILE...: runs the JavaScript tests with Node's own runner (18 or newer), or prints what to install and exits with 2.
set -eu

major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/') || major=
if [ -z "$major" ] || [ "$major" -lt 18 ]; then
  echo "wfmon: Node 18 or newer runs the JavaScript tests (the app does not need it): install it with 'sudo apt-get install nodejs'." >&2
  exit 2
fi
exec node --test "$@"
