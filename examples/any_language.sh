#!/bin/sh
# Any language: POST lines of JSON. Times are microseconds of one monotonic clock; there is no field for text.
set -eu
DATA="${WFMON_DATA:-$HOME/.local/share/wfmon}"
URL=$(sed -n 's#.*"url": *"\(http[^"]*[^"/]\)/*".*#\1#p' "$DATA/server.json")
NOW=$(awk '{ printf "%d", $1 * 1000000 }' /proc/uptime)

# The token is passed on standard input: every user of the machine can read a program's arguments.
printf 'Authorization: Bearer %s\n' "$(cat "$DATA/token")" |
curl --fail-with-body --silent --show-error --noproxy '*' -H @- -H 'Content-Type: application/x-ndjson' \
  "$URL/api/v1/hook" --data-binary @/dev/fd/3 3<<LINES
{"e":"source","v":1,"id":"shell-example-$$","via":"hook","name":"my-program","pid":$$}
{"e":"beat","t":$NOW}
{"e":"start","r":"1","t":$((NOW - 900000)),"model":"my-shell-model","prompt_tokens":12}
{"e":"tokens","r":"1","t":[$((NOW - 600000)),$((NOW - 400000)),$((NOW - 200000)),$NOW],"entropy":[1.5,0.3,2.2,0.9]}
{"e":"end","r":"1","t":$NOW,"status":"ok","output_tokens":4}
LINES
echo
