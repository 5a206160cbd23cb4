# Python's signal module: sigwaitinfo, set_wakeup_fd, setitimer, pthread_kill, and siginfo's pid from a child.
import os
import signal
import socket
import sys
import threading


def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_signals.py:{line}", *what, flush=True)
        os._exit(1)


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})
parent = os.getpid()
for code in range(10):
    child = os.fork()
    if child == 0:
        os.kill(parent, signal.SIGUSR1)
        os._exit(code)
    first = signal.sigwaitinfo({signal.SIGUSR1})
    check(first.si_pid == child and first.si_uid == os.getuid(), first, child)
    second = signal.sigwaitinfo({signal.SIGCHLD})
    check(second.si_pid == child and second.si_status == code, second, child)
    os.waitpid(child, 0)

hits = []
signal.signal(signal.SIGUSR2, lambda number, frame: hits.append(number))
reader, writer = socket.socketpair()
writer.setblocking(False)
signal.set_wakeup_fd(writer.fileno())
os.kill(parent, signal.SIGUSR2)
check(reader.recv(1) == bytes([signal.SIGUSR2]))
signal.set_wakeup_fd(-1)
check(hits == [signal.SIGUSR2], hits)

ticks = []
signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while len(ticks) < 20:
    # Python starts interrupted calls again by itself; none may fail.
    os.stat("/proc/self/stat")
    with open("/proc/self/comm") as file:
        check(file.read() == "python3\n")
    check(os.getpid() == parent)
signal.setitimer(signal.ITIMER_REAL, 0)

ready, stop = threading.Event(), threading.Event()


def wait():
    ready.set()
    stop.wait()


thread = threading.Thread(target=wait)
thread.start()
ready.wait()
check(thread.native_id != parent and os.path.isdir(f"/proc/self/task/{thread.native_id}"))
# The handler runs in the main thread, which notices when it takes the interpreter's lock again.
signal.set_wakeup_fd(writer.fileno())
signal.pthread_kill(thread.ident, signal.SIGUSR2)
check(reader.recv(1) == bytes([signal.SIGUSR2]))
check(len(hits) == 2, hits)
signal.set_wakeup_fd(-1)
stop.set()
thread.join()
print("PASS")
