# asyncio subprocesses by the pidfd child watcher and by the threaded one: statuses, signals, many at once.
import asyncio
import os
import signal
import sys


def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_asyncio.py:{line}", *what, flush=True)
        os._exit(1)


async def one(code):
    process = await asyncio.create_subprocess_exec("sh", "-c", f"echo $$ $PPID; exit {code}", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    check(out.split() == [str(process.pid).encode(), str(os.getpid()).encode()], out, process.pid)
    check(process.returncode == code, process.returncode)


async def main():
    await asyncio.gather(*(one(code) for code in range(30)))
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    process.send_signal(signal.SIGTERM)
    check(await process.wait() == -signal.SIGTERM)
    hit = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hit.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await hit.wait()


for watcher in (asyncio.PidfdChildWatcher(), asyncio.ThreadedChildWatcher()):
    asyncio.set_child_watcher(watcher)
    asyncio.run(main())
print("PASS")
