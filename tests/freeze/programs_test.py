"""Real programs, frozen and thawed at random moments: what they print and how they end is as in an unbroken run.

usage: programs_test.py CYCLE NAME    (one of PROGRAMS)
"""

import os
import subprocess
import sys
import textwrap

MEAN_MS = "15"
SEEDS = ("1", "2")

BASH = r"""
set -o pipefail
seq 1 20000 | awk '{ s += $1; print s % 97 }' | sort -n | uniq -c | tee copy | md5sum
wc -l < copy
for i in $(seq 1 25); do (exit $((i % 7))) || echo "status $?"; done
coproc CAT { cat; }
echo through >&"${CAT[1]}"; read -r line <&"${CAT[0]}"; echo "$line"
trap 'echo usr1' USR1
for i in 1 2 3; do kill -USR1 $$; done
(sleep 0.2; exit 5) & wait $!; echo "waited $?"
find /usr/share/zoneinfo -name 'A*' | sort | head -40 | xargs -n 5 echo | cksum
"""

MAKE = r"""
mkdir -p p && cd p
for i in $(seq 1 8); do
  printf '#include <stdio.h>\nint f%d(int x) { return x * %d + 1; }\n' $i $i > f$i.c
  printf 'int f%d(int);\n' $i >> all.h
done
{ echo '#include <stdio.h>'; echo '#include "all.h"'; echo 'int main(void) { int x = 1;';
  for i in $(seq 1 8); do echo "x = f$i(x);"; done; echo 'printf("%d\n", x); return 0; }'; } > main.c
printf 'OBJECTS = main.o %s\nprogram: $(OBJECTS)\n\t@$(CC) -o $@ $(OBJECTS)\n%%.o: %%.c\n\t@$(CC) -O1 -c -o $@ $<\n' \
  "$(for i in $(seq 1 8); do printf 'f%d.o ' $i; done)" > Makefile
make -j2 && ./program
"""

PYTHON_THREADS = r"""
import hashlib, queue, threading, time
jobs, done = queue.Queue(), queue.Queue()
def work():
    while True:
        number = jobs.get()
        if number is None:
            return
        digest = hashlib.sha256(str(number).encode() * 2000).hexdigest()
        done.put((number, digest))
        if number % 50 == 0:
            time.sleep(0.01)
threads = [threading.Thread(target=work) for _ in range(6)]
[thread.start() for thread in threads]
event, lock = threading.Event(), threading.Condition()
threading.Timer(0.3, event.set).start()
for number in range(1500):
    jobs.put(number)
[jobs.put(None) for _ in threads]
[thread.join() for thread in threads]
results = sorted(done.get() for _ in range(1500))
print(hashlib.sha256(repr(results).encode()).hexdigest(), event.wait(20))
"""

PYTHON_POOL = r"""
import multiprocessing, os, time
def work(number):
    total = 0
    for i in range(3000):
        total = (total * 31 + i * number) % 1000003
    if number % 40 == 0:
        time.sleep(0.005)
    return total
if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        print(sum(pool.map(work, range(400), chunksize=5)))
        print(sorted(pool.imap_unordered(work, range(100)))[:5])
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=lambda: [queue.put(i) for i in range(200)])
    process.start()
    print(sum(queue.get() for _ in range(200)))
    process.join()
    print(process.exitcode)
"""

NODE = r"""
const crypto = require('crypto');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
if (isMainThread) {
  let sum = 0, ticks = 0;
  const ticked = new Promise(done => {
    const timer = setInterval(() => { if (++ticks == 20) { clearInterval(timer); done(); } }, 15);
  });
  const workers = [1, 2].map(n => new Promise(done => {
    const worker = new Worker(__filename, { workerData: n });
    worker.on('message', value => { sum += value; });
    worker.on('exit', code => done(code));
  }));
  const hash = crypto.createHash('sha256');
  for (let i = 0; i < 20000; i++) hash.update(String(i));
  Promise.all(workers).then(codes => ticked.then(() => console.log(hash.digest('hex'), sum, codes, 'ticks', ticks)));
} else {
  let x = workerData;
  for (let i = 0; i < 3e6; i++) x = (x * 1103515245 + 12345) % 2147483648;
  parentPort.postMessage(x);
}
"""

JAVA = r"""
import java.util.*;
import java.util.concurrent.*;
public class Work {
  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<Long>> results = new ArrayList<>();
    for (int n = 0; n < 60; n++) {
      final int number = n;
      results.add(pool.submit(() -> {
        long x = number;
        for (int i = 0; i < 400000; i++) x = (x * 6364136223846793005L + 1442695040888963407L);
        if (number % 10 == 0) Thread.sleep(20);
        return x;
      }));
    }
    long sum = 0;
    for (Future<Long> one : results) sum += one.get();
    pool.shutdown();
    System.out.println(sum + " " + pool.awaitTermination(60, TimeUnit.SECONDS));
    byte[][] blocks = new byte[200][];
    int check = 0;
    for (int round = 0; round < 2000; round++) { blocks[round % 200] = new byte[50000]; blocks[round % 200][7] = (byte) round; check += blocks[round % 200][7]; }
    System.out.println(check);
  }
}
"""

GO = r"""
package main
import ("crypto/sha256"; "fmt"; "sync"; "time"; "os/exec")
func main() {
	var group sync.WaitGroup
	results := make([][32]byte, 200)
	channel := make(chan int)
	for w := 0; w < 8; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range channel {
				x := [32]byte{byte(n)}
				for i := 0; i < 800; i++ { x = sha256.Sum256(x[:]) }
				results[n] = x
			}
		}()
	}
	for n := 0; n < 200; n++ { channel <- n; if n % 40 == 0 { time.Sleep(5 * time.Millisecond) } }
	close(channel)
	group.Wait()
	total := sha256.New()
	for _, r := range results { total.Write(r[:]) }
	fmt.Printf("%x\n", total.Sum(nil))
	out, err := exec.Command("sh", "-c", "seq 1 1000 | cksum").Output()
	fmt.Println(string(out), err)
	timer := time.NewTicker(10 * time.Millisecond)
	for i := 0; i < 15; i++ { <-timer.C }
	fmt.Println("ticks")
}
"""


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(textwrap.dedent(text))
    return name


def java():
    write("Work.java", JAVA)
    subprocess.run(["javac", "Work.java"], check=True)
    return ["java", "-Xmx128m", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "Work"]


def go():
    write("work.go", GO)
    env = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOPROXY="off", CGO_ENABLED="0", GOCACHE=os.path.abspath("cache"),
               GOPATH=os.path.abspath("path"))
    subprocess.run(["go", "build", "-p", "2", "-o", "work", "work.go"], check=True, env=env)
    return [os.path.abspath("work")]


def musl():
    write("work.c", r"""
    #include <stdio.h>
    #include <stdlib.h>
    #include <pthread.h>
    #include <unistd.h>
    #include <sys/wait.h>
    static void *run(void *argument) { unsigned long x = (unsigned long)argument;
      for (int i = 0; i < 30000000; i++) x = x * 6364136223846793005UL + 1442695040888963407UL; return (void *)x; }
    int main(void) { pthread_t t[4]; unsigned long sum = 0; void *got;
      for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, run, (void *)i);
      pid_t pid = fork(); if (pid == 0) { usleep(100000); _exit(9); }
      for (int i = 0; i < 4; i++) { pthread_join(t[i], &got); sum += (unsigned long)got; }
      int status; waitpid(pid, &status, 0); printf("%lu %d\n", sum, WEXITSTATUS(status)); return 0; }
    """)
    subprocess.run(["musl-gcc", "-O1", "-static", "-o", "work", "work.c"], check=True)
    return [os.path.abspath("work")]


PROGRAMS = {
    "bash": lambda: ["bash", write("work.sh", BASH)],
    "make": lambda: ["bash", write("work.sh", "rm -rf p\n" + MAKE)],
    "python_threads": lambda: ["/usr/bin/python3", write("work.py", PYTHON_THREADS)],
    "python_pool": lambda: ["/usr/bin/python3", write("work.py", PYTHON_POOL)],
    "node": lambda: ["node", write("work.js", NODE)],
    "java": java,
    "go": go,
    "musl": musl,
}


def run(command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False, **more)
    return done.stdout, done.returncode, done.stderr


def main():
    cycle, name = sys.argv[1:]
    os.chdir(os.environ["TMPDIR"])
    command = PROGRAMS[name]()
    native = run(command)
    if native[1] != 0:
        sys.exit(f"natively: status {native[1]}\n{native[0]}{native[2]}")
    failed = False
    for seed in SEEDS:
        frozen = run([cycle, "freeze", seed, MEAN_MS, *command])
        print(f"seed {seed}: {frozen[2].strip().splitlines()[-1] if frozen[2].strip() else ''}")
        if frozen[:2] != native[:2] or "refused 0 times" not in frozen[2]:
            print(f"seed {seed}: status {frozen[1]} instead of {native[1]}\n--- natively:\n{native[0]}--- frozen:\n{frozen[0]}"
                  f"--- errors:\n{frozen[2]}")
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
