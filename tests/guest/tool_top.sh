# top -b inside: the processes with their virtual pids, the task counts, and one process by pid.
set -u
fail() {
  echo "FAIL tool_top.sh $*"
  exit 1
}
command -v top >/dev/null || fail "top is missing: install the Debian package procps"
export TERM=dumb COLUMNS=200
mkfifo hold
read -r _ <hold &
child=$!
top -b -n1 >all || fail "top -b -n1 fails"
grep -q '^Tasks:' all || fail "top shows no task counts"
awk -v pid=$$ '$1 == pid {found = 1} END {exit !found}' all || fail "top does not show $$: $(cat all)"
awk -v pid="$child" '$1 == pid {found = 1} END {exit !found}' all || fail "top does not show $child: $(cat all)"
top -b -n1 -p "$child" >one || fail "top -p $child fails"
awk -v pid="$child" '$1 == pid {found = 1} END {exit !found}' one || fail "top -p $child does not show it"
top -b -H -n1 >threads || fail "top -H fails"
awk -v pid=$$ '$1 == pid {found = 1} END {exit !found}' threads || fail "top -H does not show $$"
if [ "$BEAM_GUEST" = beam ]; then
  awk -v pid="$BEAM_OUTSIDE_PID" '$1 == pid {found = 1} END {exit found}' all || fail "top shows $BEAM_OUTSIDE_PID, which is outside"
  total=$(awk '/^Tasks:/ {print $2}' all)
  [ "$total" -le 6 ] || fail "top counts $total tasks: $(cat all)"
fi
echo done >hold
wait
echo PASS
