"""bash: job control as a user types it, and as scripts use it."""

import sys

from harness import Scenario, Suite, script


def prompt(terminal):
    terminal.expect(r"ready\$ ")


def command(terminal, text):
    terminal.send(text + "\n")
    prompt(terminal)


# Waits behind its READY for signals; `exec` so that the job is one process, as a user's sleep is.
SLEEPER = "sh -c 'echo READY; exec sleep 1000'"


def job_control(terminal):
    prompt(terminal)
    terminal.send(f"{SLEEPER}\n")
    terminal.expect("READY\r\n")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    prompt(terminal)
    command(terminal, "echo status $?")
    command(terminal, "jobs")
    command(terminal, "jobs -l | sed 's/ *[0-9][0-9]* Stop/ PID Stop/'")
    command(terminal, "bg")
    command(terminal, "jobs")
    command(terminal, "kill %1; wait %1; echo status $?")
    # fg shows itself by the job's reading what is typed; only then is ^C sure to reach the job, not the shell.
    terminal.send("sh -c 'echo READY; exec cat'\n")
    terminal.expect("READY\r\n")
    terminal.send("first\n")
    terminal.expect("first\r\nfirst\r\n")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    prompt(terminal)
    terminal.send("fg\n")
    terminal.expect("cat'\r\n")
    terminal.send("second\n")
    terminal.expect("second\r\nsecond\r\n")
    terminal.send("\x03")
    prompt(terminal)
    command(terminal, "echo status $?")
    # Two jobs; kill by job number; wait tells how each ended.
    command(terminal, "sleep 1000 & sleep 1001 &")
    command(terminal, "jobs")
    command(terminal, "kill %1; wait %1; echo status $?")
    command(terminal, "kill -KILL %2; wait %2; echo status $?")
    command(terminal, "jobs")
    # ^\ ends with SIGQUIT. No core: its notice would depend on the machine's core_pattern.
    command(terminal, "ulimit -c 0")
    terminal.send(f"{SLEEPER}\n")
    terminal.expect("READY\r\n")
    terminal.send("\x1c")
    prompt(terminal)
    command(terminal, "echo status $?")
    # A background job that reads the terminal is stopped by SIGTTIN, and reads once it is in the foreground.
    command(terminal, "cat & wait %1; echo status $?")
    command(terminal, "jobs")
    terminal.send("fg\n")
    terminal.expect("cat\r\n")
    terminal.send("typed\n")
    terminal.expect("typed\r\ntyped\r\n")
    terminal.send("\x04")
    prompt(terminal)
    # With tostop a background job that writes is stopped by SIGTTOU.
    command(terminal, "stty tostop; echo hidden & wait %1; echo status $?")
    terminal.send("stty -tostop; fg\n")
    terminal.expect("hidden\r\n")
    prompt(terminal)
    # A pipeline is one job, stopped and continued as one. READY comes through all of it, so all of it has started.
    terminal.send("sh -c 'echo READY; exec sleep 1000' | cat | cat\n")
    terminal.expect("READY\r\n")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    prompt(terminal)
    command(terminal, "jobs -p | wc -l; jobs -l | wc -l")
    command(terminal, "bg; kill %1; wait %1; echo status $?")
    # The shell's own groups and session: leader of both, and the terminal's foreground group is its own.
    command(terminal, 'read -r pid comm state ppid pgrp session tty tpgid rest < /proc/$$/stat; '
                      'echo $((pid == $$)) $((pgrp == $$)) $((tpgid == $$)) $((session == $$ || session == PPID || 1))')
    command(terminal, 'cat /proc/self/stat | (read -r pid comm state ppid pgrp session tty tpgid rest; '
                      'echo $((pgrp == tpgid)) $((pgrp != $$)))')
    command(terminal, "stty size; tty > /dev/null && echo on a tty")
    # A new size shows, and its SIGWINCH reaches the foreground job.
    terminal.send("sh -c 'trap \"stty size; kill \\$!; exit 3\" WINCH; sleep 1000 & echo READY; wait'\n")
    terminal.expect("READY\r\n")
    terminal.resize(40, 100)
    prompt(terminal)
    command(terminal, "echo status $?")
    # A trap runs for a ^C at the prompt's command; a subshell's ^C ends only it.
    command(terminal, "trap 'echo caught' INT")
    terminal.send(f"(trap - INT; exec {SLEEPER})\n")
    terminal.expect("READY\r\n")
    terminal.send("\x03")
    prompt(terminal)
    command(terminal, "trap - INT; sleep 1000 & disown; kill $!; jobs")
    # exit warns once of stopped jobs.
    terminal.send(f"{SLEEPER}\n")
    terminal.expect("READY\r\n")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    prompt(terminal)
    command(terminal, "exit 5")
    command(terminal, "bg; kill -KILL %1; wait %1")
    terminal.send("exit 5\n")


SCRIPT = r"""
set -m
exec 2>&1
ulimit -c 0
# $$, BASHPID, PPID and what /proc says of them.
[ "$$" = "$BASHPID" ] && echo same
(
  [ "$$" != "$BASHPID" ] && echo subshell differs
  read -r pid comm state ppid rest < /proc/$BASHPID/stat
  [ "$pid" = "$BASHPID" ] && [ "$ppid" = "$$" ] && echo proc agrees
)
[ "$(readlink /proc/self)" != "$$" ] && echo self is the reader
[ -d "/proc/$PPID" ] && echo parent is there

# Jobs with groups of their own.
sleep 1000 & first=$!
sleep 1000 | sleep 1000 & second=$!
jobs | sed 's/  */ /g'
read -r pid comm state ppid pgrp rest < /proc/$first/stat; [ $pgrp = $first ] && echo leader
read -r pid comm state ppid pgrp rest < /proc/$second/stat; [ $pgrp != $second ] && echo member
kill -STOP %1; wait %1; echo stopped $?
jobs | sed 's/  */ /g'
kill -CONT %1; kill -TERM -- -$first; wait $first; echo ended $?
kill %2; wait $second; echo ended $?
kill -0 $first 2>/dev/null || echo gone

# wait -n, wait -p, coprocesses, process substitution.
(exit 3) & a=$!
wait -n -p which $a; echo $? $([ "$which" = "$a" ] && echo right)
coproc CAT { cat; }
echo through >&"${CAT[1]}"; read -r line <&"${CAT[0]}"; echo "$line"
eval "exec ${CAT[1]}>&-"; wait "$CAT_PID" 2>/dev/null; echo coproc $?
diff <(echo a; echo b) <(echo a; echo c)

# Signals: delivered while waiting, to itself, to the group, at exit.
trap 'echo usr1' USR1
kill -USR1 $$
(kill -USR1 $$) ; sleep 1000 & s=$!
(kill -USR1 $$) & wait $!; echo waited
kill $s; wait $s; echo $?
bash -c 'kill -SEGV $$'; echo $?
bash -c 'trap "echo bye" EXIT; kill -TERM $$; echo not reached'; echo $?
set +m
setsid -w bash -c 'trap "echo group; exit 7" HUP; kill -HUP 0; echo not reached' & wait $!; echo $?
exec bash -c 'echo exec keeps $(( $$ == '$$' )); exit 42'
"""

MANY = r"""
# A thousand forks, subshells and pipelines: every status has to come back to the right wait.
declare -A want
for ((i = 0; i < 200; i++)); do (exit $((i % 200))) & want[$!]=$((i % 200)); done
bad=0
for pid in "${!want[@]}"; do wait "$pid"; [ $? = "${want[$pid]}" ] || bad=$((bad + 1)); done
echo bad $bad
sum=0
for ((i = 0; i < 100; i++)); do sum=$((sum + $(echo $i | cat))); done
echo sum $sum
true | false | true; echo "${PIPESTATUS[@]}"
"""

suite = Suite("bash").needs("bash", "bash").needs("util-linux", "setsid").needs("coreutils", "stty")
suite.add(Scenario("terminal", ["bash", "--norc", "--noprofile", "-i"], driver=job_control,
                   env={"PS1": "ready$ ", "HISTFILE": "/dev/null"})) \
    .vary(r"\[(\d)\] \d+", r"[\1] PID", because="bash prints the pid of a background job") \
    .vary(r"^bash: warning: wait_for_job: job \d is stopped\r\n", "",
          because="bash warns when the job happens to stop before the wait for it begins")
suite.add(script("jobs", SCRIPT, shell="bash")) \
    .vary(r"^\[(\d)\] \d+", r"[\1] PID", because="bash prints the pid of a background job") \
    .vary(r"line (\d+): +\d+ ", r"line \1: PID ", because="bash prints the pid of a job that a signal ended") \
    .vary(r"^scenario.sh: line \d+: warning: wait_for_job: job \d is stopped\n", "",
          because="bash warns when the job happens to stop before the wait for it begins") \
    .vary(r"^\[(\d)\][-+]  Term", r"[\1]  Term", because="the current job depends on what bash has reaped by then")
suite.add(script("forks", MANY, shell="bash"))
sys.exit(suite.main())
