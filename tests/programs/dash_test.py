"""dash: what shell scripts are made of, and its job control by kill, wait and traps."""

import sys

from harness import Suite, script

LANGUAGE = r"""
set -u
exec 2>&1
f() { local x=$1; [ "$x" -le 1 ] && { echo 1; return; }; echo $((x * $(f $((x - 1))))); }
f 10
for i in a b c; do case $i in a) echo A;; b|c) echo "BC $i";; esac; done
while read -r key value; do echo "$value=$key"; done <<END
one 1
two 2
END
cat <<'END' | tr a-z A-Z | sed 's/^/> /'
here $document
END
x=${unset-default}; y=${x%fault}; echo "$x $y ${#x}"
while getopts ab:c opt -a -b val -c rest; do echo "$opt ${OPTARG-}"; done
printf '%s|%5d|%-5s|%x\n' str 42 left 255
(umask 027; umask; : > masked; mkdir maskdir)
echo one > out; echo two >> out; exec 3< out; read -r l <&3; echo "$l"; exec 3<&-
{ echo stdout; echo stderr >&2; } 2>&1 | sort
cd /; pwd; cd - > /dev/null
eval 'echo $((1 + 2))'
test -f out && test ! -d out && test -r out && [ out -nt /etc/passwd ] && echo tests
set -- a "b c" d; echo $# "$2"; shift; echo "$*"
(set -e; false; echo not reached); echo $?
(exit 300); echo $?
nosuchcommand; echo $?
/etc/passwd; echo $?
type cd sh | sed 's/is .*sh/is sh/'
readonly ro=1; (ro=2); echo $?
ulimit -n 100; (ulimit -n); ulimit -c 0
command -v true; hash; alias ll='echo alias'; ll
trap 'echo exit trap $?' EXIT
exit 9
"""

PROCESSES = r"""
exec 2>&1
ulimit -c 0
# Identity: what the shell, its children and /proc say of pids must agree.
[ "$(sh -c 'echo $PPID')" = "$$" ] && echo parent
read -r pid comm state ppid pgrp session rest < /proc/$$/stat
[ "$pid" = "$$" ] && [ "$ppid" = "$PPID" ] && echo stat agrees
[ "$(sed -n 's/^Pid:\t//p' /proc/$$/status)" = "$$" ] && echo status agrees
[ "$(cat /proc/$$/comm)" = sh ] && echo comm
exec 4< /proc/self/stat; read -r pid rest <&4; [ "$pid" = "$$" ] && echo self

# Every status comes to its wait.
sh -c 'exit 3' & a=$!
sh -c 'kill -TERM $$' & b=$!
sh -c 'kill -KILL $$' & c=$!
sh -c 'kill -ABRT $$' & d=$!
for p in $d $c $b $a; do wait $p; echo $?; done
wait $a; echo again $?
wait 999999; echo unknown $?

# Signals: stop, continue, traps while waiting, ignored ones that stay so over exec.
mkfifo fifo
sh -c 'sleep 1000 & trap "kill $!; echo got usr1; exit 4" USR1; echo > fifo; wait' & child=$!
read -r x < fifo
kill -0 $child && echo alive
kill -STOP $child
until grep -q 'State:.T' /proc/$child/status; do :; done; echo stopped
kill -USR1 $child; kill -CONT $child; wait $child; echo $?
kill -0 $child 2> /dev/null || echo gone
trap 'echo own trap' USR2; kill -USR2 $$; sh -c "kill -USR2 $$"; echo after
trap '' TERM; sh -c 'kill -TERM $$; echo survived'; trap - TERM
sleep 1000 & s=$!; kill $s; wait $s; echo $?
timeout 0.1 sleep 1000; echo $?
kill -l 15; kill -l 137

# Orphans: the child of a dead parent goes on, and its parent is an init then, not the dead one.
sh -c '(read -r x < fifo; read -r p c s ppid rest < /proc/self/stat; echo "$ppid" > ppid; echo done > fifo) & echo $! > orphan; echo $$ > parent'
[ "$(cat parent)" != "$(cat orphan)" ] && echo forked
echo go > fifo; read -r x < fifo; echo "$x"
[ "$(cat ppid)" != "$(cat parent)" ] && echo adopted
rm parent orphan ppid fifo

# Pipelines and subshells, a hundred of them.
i=0; sum=0
while [ $i -lt 100 ]; do sum=$((sum + $(echo $i | cat | (cat)))); i=$((i + 1)); done; echo $sum
yes | head -n 3; (exit 5) | true; echo $?
exec dash -c 'echo last $(($$ == '$$'))'
"""

suite = Suite("dash").needs("dash", "dash").needs("coreutils", "timeout").needs("sed", "sed")
suite.add(script("language", LANGUAGE, shell="dash"))
suite.add(script("processes", PROCESSES, shell="dash")) \
    .vary(r"^(Terminated|Killed|Aborted)\n", "", because="dash tells of a signalled job whenever it happens to reap it")
sys.exit(suite.main())
