# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts here: one `pintle up` in a folder of its own ($work), steps, and what they ask of it.
#   $bin  the programs   $p  pintle   $up  the process id of pintle up, once begun
p=$bin/pintle
work=$(mktemp -d)
export PINTLE_SOCKET=$work/api.sock
up= failed=0 steps=0
cleanup() {
  [ -z "$up" ] || { kill -TERM "$up" 2>/dev/null && wait "$up" 2>/dev/null; }
  rm -rf "$work"
}
trap cleanup EXIT

begin_up() { # ARGUMENTS...: of pintle up
  "$p" up "$@" >"$work/up.log" 2>&1 &
  up=$!
}
finish_steps() {
  [ $failed = 0 ] || { echo "--- pintle up"; tail -n 30 "$work/up.log"; }
  echo "$((steps - failed)) of $steps steps passed"
  [ $failed = 0 ]
}

# step NAME FUNCTION: runs it in a subshell that stops at the first failure, and says how it ended
step() {
  local start=$EPOCHREALTIME rc
  steps=$((steps + 1))
  (set -e; "$2") >"$work/step.log" 2>&1   # not inside an if: that would switch -e off
  rc=$?
  if [ $rc = 0 ]; then
    printf 'PASS %5.2f s  %s\n' "$(bc -l <<<"$EPOCHREALTIME - $start")" "$1"
  else
    failed=$((failed + 1))
    printf 'FAIL %5.2f s  %s\n' "$(bc -l <<<"$EPOCHREALTIME - $start")" "$1"
    sed 's/^/    | /' "$work/step.log"
    [ -n "${QUIET-}" ] || "$p" describe mdep/digits 2>/dev/null | sed 's/^/    > /' | tail -n 40
  fi
}
# until_true SECONDS COMMAND...: polls; fails after that
until_true() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || { echo "gave up on: $*"; return 1; }; sleep 0.02; done
}
field() { "$p" get mdep/digits -o json | jq -r "$1"; }
is() { [ "$(field "$1")" = "$2" ]; }                          # is JQ VALUE
condition() { is ".status.conditions[] | select(.type==\"$1\") | .$2" "$3"; }
url() { sed -n 's#.*ready,.*\(http://[0-9.:]*\).*#\1#p' "$work/up.log" | tail -n 1; }
predict() { # the label of held-out image N, as the model sees it, must be the line's first number
  local line label pixels
  line=$(sed -n "$1p" examples/digits/heldout.csv); label=${line%%,*} pixels=${line#*,}
  [ "$(curl -sf --max-time 10 "$(url)/v2/models/digits/infer" -d "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,1,8,8],\"data\":[$pixels]}]}" |
    jq '.outputs[] | select(.name=="probabilities") | .data | index(max)')" = "$label" ]
}
refused() { # MESSAGE COMMAND...: must fail and say MESSAGE
  local out message=$1; shift
  if out=$("$@" 2>&1); then echo "not refused: $*"; return 1; fi
  grep -qF -- "$message" <<<"$out" || { echo "wanted: $message"; echo "got:    $out"; return 1; }
}
children() { tr ' ' '\n' <"/proc/$up/task/$up/children" | grep -c '[0-9]'; }
children_are() { [ "$(children)" = "$1" ]; }
url_known() { [ -n "$(url)" ]; }
build_load() { "$bin/digits-evaluate" "$(url | cut -d/ -f3)" digits examples/digits/heldout.csv "$1"; }
