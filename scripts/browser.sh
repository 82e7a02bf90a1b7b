#!/usr/bin/env bash
# browser.sh: ensures Chromium and its driver for the browser tests. If they are missing it installs the distribution's packages,
# as root or with a password-less sudo; otherwise it prints what to do and exits with 2. Reads no standard input.
set -eu

# Succeeds if one of these programs starts. Ubuntu's packages are stubs of a snap, which exist but fail without a running snapd.
starts() {
  for program in "$@"; do
    if command -v "$program" >/dev/null 2>&1; then
      timeout 20 "$program" --version </dev/null >/dev/null 2>&1 && return 0
      stub=$program
    fi
  done
  return 1
}
works() {
  stub=
  starts chromedriver && starts chromium chromium-browser google-chrome
}

works && exit 0

id=$(. /etc/os-release 2>/dev/null && echo "${ID:-}") || id=
case $id in
  ubuntu) packages="chromium-browser chromium-chromedriver" ;; # both install the snap
  *) packages="chromium chromium-driver" ;;
esac
if [ "$(id -u)" = 0 ]; then
  as_root=env
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root=sudo
else
  as_root=
fi

if [ -z "$stub" ] && command -v apt-get >/dev/null 2>&1 && [ -n "$as_root" ]; then
  echo "wfmon: installing $packages for the browser tests"
  $as_root apt-get update -q </dev/null >/dev/null
  # shellcheck disable=SC2086 # a list of two words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages </dev/null >/dev/null || true
  works && exit 0
fi
if [ -n "$stub" ]; then
  echo "wfmon: $stub is installed but does not start (Ubuntu's package needs snapd to run): start snapd and try" \
    "'snap install chromium', install Google Chrome and a chromedriver of its version, or run only the other tests:" \
    "make test BROWSER=no." >&2
else
  echo "wfmon: the browser tests need Chromium and chromedriver: install them with 'sudo apt-get install $packages'," \
    "or run only the other tests: make test BROWSER=no." >&2
fi
exit 2
