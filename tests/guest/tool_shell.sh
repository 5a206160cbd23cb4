# What shells and small tools make of pids: $$, $!, $PPID, wait, trap, kill -l, kill %1, times, /proc by cat and readlink.
set -u
fail() {
  echo "FAIL tool_shell.sh $*"
  exit 1
}
[ "$(sh -c 'echo $PPID')" = "$$" ] || fail "a child's PPID is not $$"
[ "$(exec readlink /proc/self)" != "$$" ] || fail "a child's /proc/self is its parent"
[ "$(cat /proc/$$/comm)" = sh ] || fail "comm of $$: $(cat /proc/$$/comm)"
[ "$(cut -d' ' -f1 /proc/$$/stat)" = "$$" ] || fail "stat of $$: $(cat /proc/$$/stat)"
[ "$(awk '/^Pid:/ {print $2}' /proc/$$/status)" = "$$" ] || fail "status of $$"
[ -d "/proc/$$/fd" ] || fail "no /proc/$$/fd"
ls "/proc/$$/task" | grep -q -x "$$" || fail "task of $$: $(ls /proc/$$/task)"
tree=$(ls -d /proc/[0-9]* | wc -l)
[ "$tree" -ge 2 ] || fail "/proc lists $tree processes"
(exit 5) &
wait $!
[ $? = 5 ] || fail "wait gives another status"
hit=0
trap 'hit=1' USR1
kill -USR1 $$
[ "$hit" = 1 ] || fail "a trap did not run at kill of oneself"
mkfifo hold
(read -r _ <hold) &
kill -TERM $!
wait $!
[ $? = 143 ] || fail "kill -TERM of a job"
bash -c 'set -m; sleep 1000 & kill %1; wait %1; [ $? = 143 ]' || fail "kill %1 of bash"
bash -c '[ $BASHPID = $$ ] && (( $(exec bash -c "echo \$PPID") == $$ )); (exit $?)' || fail "BASHPID of bash"
[ "$(bash -c 'echo $(( $(bash -c "echo \$PPID") == $$ ))')" = 1 ] || fail "a subshell's PPID"
# A pipeline's processes end with SIGPIPE and the shell waits for all of them.
yes | head -n 100000 | tail -n1 | grep -q y || fail "a pipeline"
timeout 0.05 sleep 1000
[ $? = 124 ] || fail "timeout"
timeout -s KILL 0.05 sleep 1000
[ $? = 137 ] || fail "timeout -s KILL"
[ "$(nice -n 5 sh -c 'nice')" = 5 ] || [ "$(nice)" != 0 ] || fail "nice"
setsid -w sh -c '[ $(cut -d" " -f6 /proc/$$/stat) = $$ ]' || fail "setsid"
[ "$(flock hold.lock sh -c 'echo locked')" = locked ] || fail "flock"
xargs -P4 -n1 sh -c 'exit 0' <<LIST || fail "xargs -P4"
1 2 3 4 5 6 7 8
LIST
if [ "$BEAM_GUEST" = beam ]; then
  ls -d "/proc/$BEAM_OUTSIDE_PID" 2>/dev/null && fail "/proc shows $BEAM_OUTSIDE_PID"
  kill -0 "$BEAM_OUTSIDE_PID" 2>/dev/null && fail "kill reaches $BEAM_OUTSIDE_PID"
fi
echo PASS
