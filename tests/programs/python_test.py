"""python: processes of multiprocessing, threads, futures, asyncio, signals, subprocess, os."""

import sys

from harness import Scenario, Suite

MULTIPROCESSING = r"""
import concurrent.futures, multiprocessing as mp, os, sys

def square(x):
    return x * x

def work(queue, lock, total, name):
    for i in range(50):
        with lock:
            total.value += 1
    queue.put((name, os.getpid() == mp.current_process().pid, os.getppid() == mp.parent_process().pid))

def server(pipe):
    while (message := pipe.recv()) is not None:
        pipe.send(message.upper())

def end(code):
    sys.exit(code)

def main(method):
    context = mp.get_context(method)
    queue, lock, total = context.Queue(), context.Lock(), context.Value("i", 0)
    workers = [context.Process(target=work, args=(queue, lock, total, i)) for i in range(4)]
    for worker in workers:
        worker.start()
    answers = sorted(queue.get() for _ in workers)
    for worker in workers:
        worker.join()
    # A forkserver's children are the server's, not ours.
    print(method, total.value, [a[:2] for a in answers], all(a[2] for a in answers) == (method != "forkserver"),
          [w.exitcode for w in workers])
    here, there = context.Pipe()
    process = context.Process(target=server, args=(there,))
    process.start()
    here.send("pipe")
    print(here.recv())
    here.send(None)
    process.join()
    process = context.Process(target=end, args=(7,))
    process.start()
    process.join()
    print(process.exitcode)
    event = context.Event()
    process = context.Process(target=event.wait)
    process.start()
    process.kill()
    process.join()
    print(process.exitcode)
    with context.Pool(3) as pool:
        print(sum(pool.map(square, range(200))), sorted(pool.imap_unordered(square, range(5))))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        print(list(executor.map(square, range(10))))

if __name__ == "__main__":
    main(sys.argv[1])
    if sys.argv[1] == "fork":
        from multiprocessing import shared_memory
        with mp.Manager() as manager:
            shared = manager.dict()
            process = mp.Process(target=shared.update, args=({"a": 1},))
            process.start()
            process.join()
            print(dict(shared))
        memory = shared_memory.SharedMemory(create=True, size=100)
        process = mp.Process(target=memory.buf.__setitem__, args=(5, 42))
        process.start()
        process.join()
        print(memory.buf[5])
        memory.close()
        memory.unlink()
"""

THREADS = r"""
import concurrent.futures, os, queue, signal, threading

tids = set()
barrier = threading.Barrier(40)
def run():
    tids.add(threading.get_native_id())
    barrier.wait()
    assert os.path.exists(f"/proc/self/task/{threading.get_native_id()}")
    barrier.wait()
threads = [threading.Thread(target=run) for _ in range(39)]
for t in threads:
    t.start()
barrier.wait()
listed = {int(t) for t in os.listdir("/proc/self/task")}
print(len(tids), tids < listed, threading.get_native_id() == os.getpid(), len(listed))
barrier.wait()
for t in threads:
    t.join()
with concurrent.futures.ThreadPoolExecutor(8) as executor:
    print(sum(executor.map(lambda n: n * n, range(1000))))
q = queue.Queue()
threading.Thread(target=lambda: [q.put(i) for i in range(100)]).start()
print(sum(q.get() for _ in range(100)))
# A fork from a thread that is not the first; the child's only thread is its leader then.
def forker():
    pid = os.fork()
    if pid == 0:
        os._exit(5 if threading.get_native_id() == os.getpid() and os.getppid() != 0 else 6)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
t = threading.Thread(target=forker)
t.start()
t.join()
# A signal for one thread.
got = threading.Event()
def waiter():
    signal.sigwait({signal.SIGUSR1})
    got.set()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
t = threading.Thread(target=waiter)
t.start()
signal.pthread_kill(t.ident, signal.SIGUSR1)
t.join()
print(got.is_set())
# An exec from a thread that is not the first keeps the process' pid.
pid = os.getpid()
def execer():
    os.execv("/usr/bin/python3", ["python3", "-c", f"import os; print(os.getpid() == {pid})"])
import sys
sys.stdout.flush()
t = threading.Thread(target=execer)
t.start()
t.join()
"""

ASYNCIO = r"""
import asyncio, os, signal, sys

async def one(n):
    process = await asyncio.create_subprocess_exec("sh", "-c", f"read x; echo $x {n}; exit {n}", stdin=asyncio.subprocess.PIPE,
                                                   stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(b"in\n")
    return out.decode().strip(), process.returncode

async def main():
    print(sorted(await asyncio.gather(*(one(n) for n in range(20)))))
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    process.send_signal(signal.SIGTERM)
    print(await process.wait())
    try:
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        await asyncio.wait_for(process.wait(), 0.05)
    except asyncio.TimeoutError:
        process.kill()
        print("timeout", await process.wait())
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, future.set_result, "signal")
    os.kill(os.getpid(), signal.SIGUSR1)
    print(await future)
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def client(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"client {n}\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.decode().strip()
    print(sorted(await asyncio.gather(*(client(n) for n in range(20)))))
    server.close()
    server = await asyncio.start_unix_server(serve, "sock")
    reader, writer = await asyncio.open_unix_connection("sock")
    writer.write(b"unix\n")
    print(await reader.read())
    server.close()
    os.unlink("sock")
    print(await asyncio.to_thread(os.getpid) == os.getpid())

for watcher in (asyncio.ThreadedChildWatcher, asyncio.PidfdChildWatcher):
    asyncio.set_child_watcher(watcher())
    asyncio.run(main())
"""

SIGNALS = r"""
import ctypes, os, select, signal, sys, threading, time

sys.stdout.reconfigure(line_buffering=True)
received = []
signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.raise_signal(signal.SIGUSR1)
print(len(received))
# siginfo by sigwaitinfo: the child's pid as fork gave it, for kill and for SIGCHLD.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGCHLD})
child = os.fork()
if child == 0:
    os.kill(os.getppid(), signal.SIGUSR2)
    signal.pause()
info = signal.sigwaitinfo({signal.SIGUSR2})
print(info.si_pid == child, info.si_uid == os.getuid(), info.si_code)
os.kill(child, signal.SIGSTOP)
info = signal.sigwaitinfo({signal.SIGCHLD})
print(info.si_pid == child, info.si_code, info.si_status == signal.SIGSTOP, os.waitpid(child, os.WUNTRACED)[0] == child)
os.kill(child, signal.SIGCONT)
info = signal.sigwaitinfo({signal.SIGCHLD})
print(info.si_pid == child, info.si_code, os.waitid(os.P_PID, child, os.WCONTINUED).si_pid == child)
os.kill(child, signal.SIGKILL)
info = signal.sigtimedwait({signal.SIGCHLD}, 20)
peek = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(info.si_pid == child, peek.si_pid == child, os.waitpid(child, 0) == (child, 9))
print(signal.sigtimedwait({signal.SIGCHLD}, 0))
# pidfds.
child = os.fork()
if child == 0:
    signal.pause()
pidfd = os.pidfd_open(child)
with open(f"/proc/self/fdinfo/{pidfd}") as file:
    print([line.split()[1] == str(child) for line in file if line.startswith("Pid:")])
print(select.select([pidfd], [], [], 0)[0])
signal.pidfd_send_signal(pidfd, signal.SIGTERM)
print(select.select([pidfd], [], [], 20)[0] == [pidfd], os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_pid == child)
# signalfd.
libc = ctypes.CDLL(None, use_errno=True)
mask = ctypes.create_string_buffer(128)
libc.sigemptyset(mask)
libc.sigaddset(mask, signal.SIGUSR2)
fd = libc.signalfd(-1, mask, 0)
child = os.fork()
if child == 0:
    os.kill(os.getppid(), signal.SIGUSR2)
    os._exit(0)
record = os.read(fd, 128)
print(int.from_bytes(record[0:4], "little") == signal.SIGUSR2, int.from_bytes(record[12:16], "little") == child)
os.waitpid(child, 0)
# Timers, groups, sessions, wakeup fd.
signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.01)
signal.pause()
r, w = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(w)
os.kill(os.getpid(), signal.SIGUSR1)
print(os.read(r, 1) == bytes([signal.SIGUSR1]))
signal.set_wakeup_fd(-1)
start_r, start_w = os.pipe()
group = 0
children = []
for i in range(3):
    child = os.fork()
    if child == 0:
        os.setpgid(0, group)
        os.write(start_w, b".")
        signal.pause()
    group = group or child
    os.setpgid(child, group)
    children.append(child)
for _ in children:
    os.read(start_r, 1)
print([os.getpgid(c) == group for c in children], os.getsid(children[0]) == os.getsid(0))
os.killpg(group, signal.SIGTERM)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(-group, 0)[1]) for _ in children))
try:
    os.waitpid(-group, 0)
except ChildProcessError as error:
    print(error)
for call in (lambda: os.kill(4000000, 0), lambda: os.getpgid(4000000), lambda: os.killpg(4000000, 0), lambda: os.pidfd_open(4000000)):
    try:
        call()
        print("no error")
    except OSError as error:
        print(error.strerror)
"""

SUBPROCESS = r"""
import fcntl, os, resource, signal, socket, struct, subprocess, sys, tempfile

run = lambda *a, **k: subprocess.run(*a, capture_output=True, text=True, **k)
print(run(["echo", "hello"]).stdout, run("exit 3", shell=True).returncode, run(["cat"], input="in" * 100000).stdout == "in" * 100000)
try:
    run(["sleep", "1000"], timeout=0.05)
except subprocess.TimeoutExpired as expired:
    print(expired)
try:
    run(["nosuchcommand"])
except FileNotFoundError as error:
    print(error)
p = subprocess.Popen(["sh", "-c", "echo $$ $PPID; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
print(p.stdout.readline().split() == [str(p.pid), str(os.getpid())], os.getsid(p.pid) == p.pid == os.getpgid(p.pid), p.poll())
os.killpg(p.pid, signal.SIGKILL)
print(p.wait())
many = [subprocess.Popen(["sh", "-c", f"exit {i}"]) for i in range(50)]
print([p.wait() for p in many] == list(range(50)))
print(subprocess.run("kill -SEGV $$", shell=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0))).returncode)
print(subprocess.check_output("seq 1000 | sort -rn | head -1", shell=True))
print(run(["sh", "-c", "echo $X; pwd; umask"], env={"X": "y"}, cwd="/", umask=0o77).stdout)
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], os.environ, setpgroup=0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(os.popen("echo popen").read(), os.waitstatus_to_exitcode(os.system("exit 8")))
# Pids that the kernel tells by other ways: locks, socket credentials, owners, terminals, wait4.
with open("lock", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    pid = os.fork()
    if pid == 0:
        with open("lock", "w") as other:
            answer = fcntl.fcntl(other, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        os._exit(0 if struct.unpack("hhqqi4x", answer)[4] == os.getppid() else 1)
    print("lock holder", os.waitpid(pid, 0)[1])
    fcntl.fcntl(file, fcntl.F_SETOWN, os.getpid())
    print("owner", fcntl.fcntl(file, fcntl.F_GETOWN) == os.getpid())
os.unlink("lock")
a, b = socket.socketpair()
print("peercred", struct.unpack("3i", a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)) == (os.getpid(), os.getuid(), os.getgid()))
pid = os.fork()
if pid == 0:
    socket.send_fds(a, [b"fd"], [os.open("/etc/passwd", os.O_RDONLY)])
    os._exit(0)
data, fds, _, _ = socket.recv_fds(b, 10, 1)
print(data, os.fstat(fds[0]).st_ino == os.stat("/etc/passwd").st_ino, os.wait4(pid, 0)[1])
import pty, termios, tty
pid, master = pty.fork()
if pid == 0:
    leader = os.getsid(0) == os.getpid() and os.tcgetpgrp(0) == os.getpid()
    os.write(1, b"leader" if leader else b"not leader")
    os.read(0, 1)
    os._exit(0)
print(os.read(master, 100), os.tcgetpgrp(master) == pid)
os.write(master, b"\x03")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
# /proc, by number and by name.
me = os.getpid()
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
print("stat", int(fields[1]) == os.getppid(), int(fields[2]) == os.getpgrp(), int(fields[3]) == os.getsid(0))
status = dict(line.rstrip("\n").split(":\t", 1) for line in open(f"/proc/{me}/status") if ":\t" in line)
print("status", status["Pid"] == status["Tgid"] == str(me), status["PPid"] == str(os.getppid()), status["Threads"])
print("self", os.readlink("/proc/self") == str(me), os.readlink("/proc/thread-self") == f"{me}/task/{me}", str(me) in os.listdir("/proc"))
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
print("children", open(f"/proc/{me}/task/{me}/children").read().split() == [str(child.pid)], os.readlink(f"/proc/{child.pid}/cwd") == os.getcwd(),
      open(f"/proc/{child.pid}/cmdline").read().startswith(("cat", "python3", "/usr/bin/python3")))
child.communicate()
print("gone", os.path.exists(f"/proc/{child.pid}"), os.path.exists("/proc/4000000"))
"""

suite = Suite("python").needs("python3", "/usr/bin/python3")


def add(name, text, *arguments):
    return suite.add(Scenario(name, ["/usr/bin/python3", "-B", "scenario.py", *arguments], files={"scenario.py": text}))


for method in ("fork", "spawn", "forkserver"):
    add(f"multiprocessing-{method}", MULTIPROCESSING, method)
add("threads", THREADS)
add("asyncio", ASYNCIO)
add("signals", SIGNALS)
add("subprocess", SUBPROCESS)
sys.exit(suite.main())
