"""make -j over a project of fifty C files, built by gcc."""

import sys

import c_project
from harness import Suite, script

BUILD = r"""
exec 2>&1
make -j4 -O CC=gcc all > log || { cat log; exit 1; }
sort log; rm log  # finished jobs come in any order
make -j4 check
make -j4 all; echo nothing to do: $?
touch src/op3.c include/ops.h; make -n all | wc -l; rm obj/op7.o; make -j4 -s obj/op7.o && ls obj/op7.o
echo '#error wrong' >> src/op5.c; make -k -j4 obj/op5.o obj/op4.o > /dev/null 2> log; echo failed $?; grep -c 'error: #error' log; rm log
make -s clean; make -s -j2 CFLAGS=-O0 SHELL=/bin/bash obj/op1.o obj/op2.o; echo $?
"""

# The jobserver: nested makes share the tokens of the outermost.
JOBSERVER = {
    "Makefile": "all: $(foreach n,1 2 3 4,sub$n)\nsub%:\n\t+@$(MAKE) --no-print-directory -f inner.mk NAME=$* \n",
    "inner.mk": "all: $(foreach n,1 2 3 4 5,done-$(NAME)-$n)\ndone-%:\n\t@echo $* > $@\n",
}

suite = Suite("make with gcc").needs("make", "make").needs("gcc", "gcc").needs("binutils", "ar", "ld")
suite.add(script("build", BUILD, prepare=lambda directory: c_project.write(directory, 50, 1), timeout=90))
suite.add(script("jobserver", "make -j3 && ls done* | wc -l", files=JOBSERVER))
suite.add(script("interrupt", r"""
# A signal to make: it ends its children, deletes the half-made target and ends by the signal itself.
mkfifo ready
make -s half & m=$!
read -r x < ready
kill -TERM $m; wait $m; echo $?
ls half 2> /dev/null || echo deleted
""", files={"Makefile": "half:\n\techo start > half; echo > ready; exec sleep 1000\n"})) \
    .vary(r"^make: \*\*\* .*\n", "", because="make tells of the deletion and of the signal in either order")
suite.add(script("gcc", r"""
exec 2>&1
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 3; }\n' > a.c
gcc -pipe -O2 -o a a.c && ./a; echo $?
gcc -save-temps -c a.c && ls a.*; gcc -flto -O2 a.c -o lto && ./lto; gcc -E a.c | tail -1; gcc -S -o - a.c | grep -c main
printf 'int main(void) { return x; }\n' > bad.c; gcc bad.c; echo $?; gcc -v 2>&1 | tail -1 | wc -l; gcc nosuch.c; echo $?
printf '#include <iostream>\n#include <thread>\nint main() { std::thread([] { std::cout << "thread\\n"; }).join(); }\n' > t.cc; g++ -pthread -o t t.cc && ./t
objdump -d a | wc -l; strip a; nm a; gcc -shared -fPIC -o liba.so a.c && ldd liba.so | wc -l
"""))
sys.exit(suite.main())
