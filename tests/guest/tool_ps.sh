# ps inside: exactly the sandbox's processes with their virtual pids, parents, groups and names; natively they are among all.
set -u
fail() {
  echo "FAIL tool_ps.sh $*"
  exit 1
}
command -v ps >/dev/null || fail "ps is missing: install the Debian package procps"
mkfifo hold
read -r _ <hold &
child=$!
line=$(ps -o pid=,ppid=,pgid=,sid=,stat=,comm= -p "$child") || fail "ps -p $child fails"
set -- $line
[ "$1" = "$child" ] || fail "pid: $1, expected $child"
[ "$2" = "$$" ] || fail "ppid: $2, expected $$"
[ "$6" = sh ] || fail "comm: $6, expected sh"
pids=$(ps -e -o pid= | tr -s ' \n' ' ')
case " $pids " in *" $$ "*) ;; *) fail "ps -e lacks $$: $pids" ;; esac
case " $pids " in *" $child "*) ;; *) fail "ps -e lacks $child: $pids" ;; esac
ps -p 999999999 >/dev/null 2>&1 && fail "ps finds a process 999999999"
ps aux | grep -q '[t]ool_ps.sh' || fail "ps aux does not show this script"
ps -ef --forest >/dev/null || fail "ps -ef --forest fails"
[ "$(ps -o ppid= -p $$ | tr -d ' ')" = "$PPID" ] || fail "ps's parent of $$ is not $PPID"
[ "$(ps -o nlwp= -p $$ | tr -d ' ')" = 1 ] || fail "ps does not count one thread of $$"
[ "$(ps --ppid $$ -o pid= | tr -s ' \n' ' ' | grep -c -w "$child")" = 1 ] || fail "ps --ppid $$ lacks $child"
if [ "$BEAM_GUEST" = beam ]; then
  # This shell, its child, pid 1, ps itself and the subshell that reads it.
  count=$(ps -e -o pid= | wc -l)
  [ "$count" -le 6 ] || fail "ps -e shows $count processes: $(ps -e -o pid,ppid,args)"
  case " $pids " in *" $BEAM_OUTSIDE_PID "*) fail "ps shows $BEAM_OUTSIDE_PID, which is outside" ;; esac
  [ "$(ps -o ppid= -p 1 | tr -d ' ')" = 0 ] || fail "pid 1 has a parent"
  echo done >hold &
else
  echo done >hold &
fi
wait
echo PASS
