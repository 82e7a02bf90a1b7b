#!/usr/bin/env bash
# venv.sh DIR REQUIREMENTS: a virtual environment in DIR with these requirements. Recreated only if its Python is gone.
set -eu

dir=$1
requirements=$2
python=$("$(dirname "$0")/python.sh")

# If the system has replaced its Python, the environment cannot start.
if ! "$dir/bin/python" -c 'import pip' 2>/dev/null; then
  echo "wfmon: creating $dir with $python"
  "$python" -m venv --clear "$dir"
fi
echo "wfmon: installing $requirements into $dir (the first time takes about half a minute)"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
