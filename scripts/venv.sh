#!/usr/bin/env bash
# venv.sh DIR REQUIREMENTS: a virtual environment in DIR with these requirements. Made anew only when its Python is gone.
set -eu

dir=$1
requirements=$2
python=$("$(dirname "$0")/python.sh")

# A Python that the system has replaced since leaves an environment that cannot start.
if ! "$dir/bin/python" -c 'import pip' 2>/dev/null; then
  echo "wfmon: making $dir with $python"
  "$python" -m venv --clear "$dir"
fi
echo "wfmon: installing $requirements into $dir (the first time takes about half a minute)"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
