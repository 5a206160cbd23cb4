# multiprocessing by fork, spawn and forkserver: pools, queues, locks, managers, and the pids that they report.
import multiprocessing
import os
import sys


def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_multiprocessing.py:{line}", *what, flush=True)
        os._exit(1)


def square(value):
    return value * value


def report(queue, lock, value):
    with lock:
        value.value += 1
    queue.put((os.getpid(), os.getppid(), multiprocessing.parent_process().pid))


def run(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        check(pool.map(square, range(200)) == [n * n for n in range(200)], method)
    queue, lock, value = context.Queue(), context.Lock(), context.Value("i", 0)
    processes = [context.Process(target=report, args=(queue, lock, value)) for _ in range(4)]
    for process in processes:
        process.start()
    told = [queue.get() for _ in processes]
    for process in processes:
        process.join()
        check(process.exitcode == 0, method, process.exitcode)
    check({pid for pid, _, _ in told} == {process.pid for process in processes}, method, told)
    check(all(parent == os.getpid() for _, _, parent in told), method, told)
    if method != "forkserver":
        check(all(parent == os.getpid() for _, parent, _ in told), method, told)
    check(value.value == 4, method, value.value)
    process = context.Process(target=square, args=("wrong",))
    event = context.Event()
    process = context.Process(target=event.wait)
    process.start()
    check(process.is_alive())
    process.terminate()
    process.join()
    check(process.exitcode == -15, method, process.exitcode)


if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        run(method)
    print("PASS")
