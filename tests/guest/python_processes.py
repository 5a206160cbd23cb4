# Python's os and subprocess: pids of fork, spawn and Popen, signals to them, waits in all forms, orphans, sessions.
import os
import signal
import subprocess
import sys

def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_processes.py:{line}", *what, flush=True)
        os._exit(1)

me = os.getpid()
check(int(os.readlink("/proc/self")) == me, os.readlink("/proc/self"))
for code in range(20):
    child = os.fork()
    if child == 0:
        os._exit(code if os.getppid() == me else 99)
    pid, status = os.waitpid(child, 0)
    check((pid, os.waitstatus_to_exitcode(status)) == (child, code), pid, status)

popen = subprocess.Popen([sys.executable, "-c", "import os; print(os.getpid(), os.getppid())"], stdout=subprocess.PIPE, text=True)
out, _ = popen.communicate()
check(out.split() == [str(popen.pid), str(me)], out, popen.pid)

sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
check(os.getpgid(sleeper.pid) == sleeper.pid)
check(os.getsid(sleeper.pid) == sleeper.pid)
os.killpg(sleeper.pid, signal.SIGINT)
check(sleeper.wait() == -signal.SIGINT, sleeper.returncode)

try:
    subprocess.run(["sleep", "1000"], timeout=0.05)
    check(False, "no timeout")
except subprocess.TimeoutExpired:
    pass

pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], os.environ)
check(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_pid == pid)
check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9)

pid = os.fork()
if pid == 0:
    signal.pause()
pidfd = os.pidfd_open(pid)
signal.pidfd_send_signal(pidfd, signal.SIGTERM)
info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
check(info.si_pid == pid and info.si_status == signal.SIGTERM, info)

for number in (999999999,):
    try:
        os.kill(number, 0)
        check(False, "kill of nobody")
    except ProcessLookupError:
        pass
    try:
        os.waitpid(number, 0)
        check(False, "wait for nobody")
    except ChildProcessError:
        pass
if os.environ["BEAM_GUEST"] == "beam":
    outside = int(os.environ["BEAM_OUTSIDE_PID"])
    check(not os.path.exists(f"/proc/{outside}"))
    listed = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    check(listed == {1, me}, listed)
print("PASS")
