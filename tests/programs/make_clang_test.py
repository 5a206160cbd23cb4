"""make -j over a C project, built by clang."""

import sys

import c_project
from harness import Suite, script

BUILD = r"""
exec 2>&1
make -j4 -O CC=clang all > log || { cat log; exit 1; }
sort log; rm log  # finished jobs come in any order
make -j4 check CC=clang
clang -O2 -c -o one.o -Iinclude src/op1.c -v 2>&1 | grep -c -e -cc1
clang -fsyntax-only -Weverything -Iinclude src/main.c 2>&1 | tail -1
echo 'int main(void) { return undeclared; }' > bad.c; clang bad.c; echo $?
clang --analyze -Iinclude src/main.c; echo $?
"""

suite = Suite("make with clang").needs("make", "make").needs("clang", "clang").needs("binutils", "ar", "ld")
suite.add(script("build", BUILD, prepare=lambda directory: c_project.write(directory, 14, 2), timeout=90))
sys.exit(suite.main())
