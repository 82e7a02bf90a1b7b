#!/usr/bin/env bash
# python.sh: prints the Python for the environments (3.11 or newer, with venv), or prints what to install and exits with 2.
# PYTHON=... selects another one.
set -eu

candidates=${PYTHON:-python3 python3.13 python3.12 python3.11}
found=
for name in $candidates; do
  command -v "$name" >/dev/null 2>&1 || continue
  "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
  found=$name
  # Debian and Ubuntu package ensurepip separately, as python3-venv.
  if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v "$name"
    exit 0
  fi
done

if [ -n "$found" ]; then
  version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  package=python3-venv
  [ "$found" = python3 ] || package=python$version-venv
  echo "wfmon: Python $version cannot make a virtual environment: install it with 'sudo apt-get install $package', then run make again." >&2
else
  echo "wfmon: Python 3.11 or newer is needed, and none of '$candidates' is:" \
    "install it with 'sudo apt-get install python3 python3-venv', or choose one with PYTHON=/path/to/python3." >&2
fi
exit 2
