"""Programs that nobody wrote for it, moved about a lab while they work: what they say, leave and end with is as natively."""

import os
import socket

import cli

POOL = """
import multiprocessing
def work(n):
    return sum(i * i for i in range(n * 20000))
if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        print(pool.map(work, range(30)))
"""
REDIS = """
mkfifo log
redis-server --port PORT --save '' --dir . --logfile '' >log &
exec 3<log
while read -r line <&3; do
  case $line in *'Ready to accept connections'*) break ;; esac
done
cat <&3 >/dev/null &
for i in 1 2 3 4 5 6 7 8 9 10; do
  redis-cli -p PORT incr x
  redis-benchmark -p PORT -q -n 2000 -c 5 -t set,get,incr,lpush >/dev/null || exit 1
done
redis-cli -p PORT get counter:__rand_int__
redis-cli -p PORT llen mylist
redis-cli -p PORT shutdown nosave
wait
rm log
"""


class Programs(cli.Case):
    def rehearse(self, *command, every=120):
        done = self.beam("rehearse", "--moves", "6", "--every", str(every), "--", *command)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"the same stdout, exit status and files after [1-6] moves\n\Z")

    def put(self, name, text):
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
            file.write(text)

    def test_make(self):
        for i in range(12):
            self.put(f"part{i}.c", f"#include <stdio.h>\n#include <math.h>\nint f{i}(int x) {{ return printf(\"%d\\n\", x * {i}); }}\n")
        self.put("main.c", "int f3(int); int main(void) { return f3(4) - 3; }\n")
        self.put("Makefile", "program: main.o $(patsubst %.c,%.o,$(sort $(wildcard part*.c)))\n"
                             "\tgcc -o $@ $^\n\t./program > out\n\tcat part*.o | sha256sum >> out\n")
        self.rehearse("make", "-j2")

    def test_pipeline(self):
        self.rehearse("sh", "-c", "seq 1 300000 | xz -T2 | tee packed | sha256sum; seq 1 300000 | sort -n -r | md5sum")

    def test_processes_of_python(self):
        self.put("pool.py", POOL)
        self.rehearse("python3", "pool.py")

    def test_node(self):
        self.rehearse("node", "-e", "let n = 0; const t = setInterval(() => { console.log(n++); if (n > 15) clearInterval(t) }, 60)")

    def test_redis(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        self.rehearse("sh", "-c", REDIS.replace("PORT", port))

    def test_perl(self):
        self.rehearse("perl", "-e", '$| = 1; for (1..12) { print "$_\\n"; select undef, undef, undef, 0.07 } open F, ">f"; print F "x" x 100')


if __name__ == "__main__":
    cli.main()
