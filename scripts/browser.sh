#!/usr/bin/env bash
# browser.sh: sees to Chromium and its driver for the browser tests: there already, or installed from the distribution's
# packages where root or a password-less sudo allows, else it says what to install and ends with 2. Reads no standard input.
set -eu

have() { command -v "$1" >/dev/null 2>&1; }
complete() { have chromedriver && { have chromium || have chromium-browser || have google-chrome; }; }

complete && exit 0

id=$(. /etc/os-release 2>/dev/null && echo "${ID:-}") || id=
case $id in
  ubuntu) packages="chromium-browser chromium-chromedriver" ;; # both lead to the snap
  *) packages="chromium chromium-driver" ;;
esac
if [ "$(id -u)" = 0 ]; then
  as_root=env
elif have sudo && sudo -n true 2>/dev/null; then
  as_root=sudo
else
  as_root=
fi

if have apt-get && [ -n "$as_root" ]; then
  echo "wfmon: installing $packages for the browser tests"
  $as_root apt-get update -q </dev/null >/dev/null
  # shellcheck disable=SC2086 # a list of two words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages </dev/null >/dev/null || true
  complete && exit 0
fi
echo "wfmon: the browser tests need Chromium and chromedriver: install them with 'sudo apt-get install $packages'" \
  "(or run the other tests alone: make test BROWSER=no)." >&2
exit 2
