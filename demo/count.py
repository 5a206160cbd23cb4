"""What demo/tour freezes: threads that count and some that sleep, a half-read pipe and a half-read file. Says the same always."""

import os
import subprocess
import threading
import time

ROUNDS = 40


def count(totals, which):
    for number in range(ROUNDS):
        totals[which] += sum(range(20000 + which + number))
        time.sleep(0.05)


reading, writing = os.pipe()
os.write(writing, b"first half, second half")
half = os.read(reading, 10).decode()
with open("lines", "w", encoding="ascii") as lines:
    lines.write("one\ntwo\nthree\n")
file = open("lines", encoding="ascii", buffering=1)
line = file.readline().strip()

totals = [0, 0, 0]
threads = [threading.Thread(target=count, args=(totals, which)) for which in range(len(totals))]
slept = []
threads.append(threading.Thread(target=lambda: slept.append(subprocess.run(["sleep", "3"], check=True).args)))
threads.append(threading.Thread(target=time.sleep, args=(3,)))
pid = os.getpid()
begin = time.monotonic()
for thread in threads:
    thread.start()
print(f"{half!r} read from the pipe, {line!r} from the file; half way", flush=True)
for thread in threads:
    thread.join()
os.close(writing)
print(f"counted {totals}; {' '.join(slept[0])} is over; still the same process: {os.getpid() == pid}; "
      f"by its own clock it took 3 seconds or more: {time.monotonic() - begin >= 3}")
print(f"the rest of the pipe is {os.read(reading, 100).decode()!r}, the next line of the file {file.readline().strip()!r}")
