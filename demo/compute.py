"""A computation with what a frozen process has to keep: threads, a file half read, unread bytes in a pipe, a running sleep.

usage: compute.py FILE. Prints a line as it goes and a result at the end that depends on all of them: it is the same
whether or not it was frozen on the way.
"""

import hashlib
import os
import subprocess
import sys
import threading

STEPS = 12
ROUNDS = 600000


def chain(seed, rounds):
    digest = seed
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest


class Worker(threading.Thread):
    """Hashes its own chain, a part for each step that the main thread announces."""

    def __init__(self, name, barrier):
        super().__init__(name=name)
        self.barrier = barrier
        self.digest = name.encode()

    def run(self):
        for _ in range(STEPS):
            self.digest = chain(self.digest, ROUNDS // 3)
            self.barrier.wait()


def main():
    text = os.open(sys.argv[1], os.O_RDONLY)
    piece = os.fstat(text).st_size // STEPS
    read_end, write_end = os.pipe()
    os.write(write_end, b"written before, read after")
    sleeper = subprocess.Popen(["sleep", "3"])
    barrier = threading.Barrier(4)
    workers = [Worker(f"worker-{number}", barrier) for number in range(3)]
    for worker in workers:
        worker.start()

    result = hashlib.sha256()
    for step in range(1, STEPS + 1):
        result.update(os.read(text, piece))
        print(f"step {step:2} of {STEPS}: pid {os.getpid()}, {threading.active_count()} threads, "
              f"file at {os.lseek(text, 0, os.SEEK_CUR)}", flush=True)
        barrier.wait()
    for worker in workers:
        worker.join()
        result.update(worker.digest)
    os.close(write_end)
    message = os.read(read_end, 100).decode()
    print(f"sleep ended with {sleeper.wait()}; the pipe held '{message}'")
    result.update(message.encode())
    print(f"result {result.hexdigest()[:32]}", flush=True)


if __name__ == "__main__":
    main()
