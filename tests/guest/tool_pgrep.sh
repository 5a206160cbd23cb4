# pgrep, pkill and pidof inside: by name, parent, group, session and full command line.
set -u
fail() {
  echo "FAIL tool_pgrep.sh $*"
  exit 1
}
command -v pgrep >/dev/null || fail "pgrep is missing: install the Debian package procps"
# A name of its own: natively other guests run beside this one.
name=g$$x
cp /bin/sleep "$name" || exit 1
"./$name" 1000 &
first=$!
"./$name" 1001 &
second=$!
# The names are right once both have executed.
while [ "$(cat "/proc/$first/comm")" != "$name" ] || [ "$(cat "/proc/$second/comm")" != "$name" ]; do :; done
got=$(pgrep -x "$name" | sort -n | tr '\n' ' ')
want=$(printf '%s\n%s\n' "$first" "$second" | sort -n | tr '\n' ' ')
[ "$got" = "$want" ] || fail "pgrep -x $name: got $got, expected $want"
[ "$(pgrep -f "$name 1001")" = "$second" ] || fail "pgrep -f: got $(pgrep -f "$name 1001"), expected $second"
got=$(pgrep -P $$ -x "$name" | wc -l)
[ "$got" = 2 ] || fail "pgrep -P $$: got $got processes, expected 2"
[ "$(pgrep -o -x "$name")" = "$first" ] || fail "pgrep -o does not find the oldest"
[ "$(pgrep -n -x "$name")" = "$second" ] || fail "pgrep -n does not find the newest"
got=$(pgrep -g "$(ps -o pgid= -p "$first" | tr -d ' ')" -x "$name" | wc -l)
[ "$got" = 2 ] || fail "pgrep -g: got $got processes, expected 2"
got=$(pidof "$PWD/$name" | tr ' ' '\n' | sort -n | tr '\n' ' ')
[ "$got" = "$want" ] || fail "pidof: got $got, expected $want"
pkill -f "$name 1001" || fail "pkill finds nothing"
wait "$second"
[ $? = 143 ] || fail "pkill did not end $second by SIGTERM"
kill -0 "$first" || fail "pkill -f ended $first as well"
pkill -KILL -x "$name" || fail "pkill -x finds nothing"
wait "$first" 2>/dev/null
[ $? = 137 ] || fail "pkill -KILL did not end $first"
pgrep -x "$name" >/dev/null && fail "pgrep finds what has ended"
if [ "$BEAM_GUEST" = beam ]; then
  pgrep "" >all
  grep -q -x "$BEAM_OUTSIDE_PID" all && fail "pgrep lists $BEAM_OUTSIDE_PID, which is outside"
  [ "$(wc -l <all)" -le 5 ] || fail "pgrep lists more than the sandbox: $(tr '\n' ' ' <all)"
fi
echo PASS
