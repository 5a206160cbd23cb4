"""find, and xargs with parallel children."""

import os
import sys

from harness import Suite, script


def prepare(directory):
    for a in range(12):
        for b in range(8):
            sub = os.path.join(directory, "t", f"a{a}", f"b{b}")
            os.makedirs(sub)
            for c in range(5):
                path = os.path.join(sub, f"f{c}.{'txt' if c % 2 else 'c'}")
                with open(path, "w") as file:
                    file.write("x" * (a * b * c))
                os.utime(path, (1000000000 + a * 86400, 1000000000 + b * 86400))
    os.symlink("nowhere", os.path.join(directory, "t", "dangling"))
    os.symlink("a1", os.path.join(directory, "t", "linked"))


FIND = r"""
exec 2>&1
find t | sort | md5sum; find t -type f -name '*.c' | wc -l; find t -maxdepth 1 | sort; find t -mindepth 3 -size +100c -printf '%s %m %y %f\n' | sort | md5sum
find t -type l -printf '%p %l\n' | sort; find -L t -type l; find t -xtype l; find t -newer t/a3/b3/f1.txt -type f | wc -l; find t -newermt '2001-09-10' ! -newermt '2001-09-14' -type f | wc -l
find t -empty -type f | wc -l; find t -perm -444 -type f | wc -l; find t -user "$(id -un)" | wc -l; find t -links +3 -type d | wc -l; find t -regex '.*b[0-3]/f0.*' | wc -l
find t -name f0.c -exec wc -c {} + | tail -1; find t -path '*b7/f1*' -exec sh -c 'echo "$(basename $1)"' - {} \; | sort | uniq -c; find t/a1 -execdir pwd \; | sed 's|.*/t|t|' | sort | uniq -c
find t -name 'f4*' -delete; find t -name 'f4*' | wc -l; find t -path '*/b2' -prune -o -type f -print | wc -l; find nosuch; echo $?; find t -samefile t/a1/b1/f1.txt
find t -inum "$(stat -c %i t/a2)"; find t -type f -print0 | xargs -0 cat | wc -c; find t -quit; find t -fprint list; wc -l < list; rm list
find t -type f -ok echo {} \; < /dev/null | wc -c; find /proc/self/ -maxdepth 1 -name status; find /proc/self/fd/ -lname '/proc/*/fd' | wc -l
find /proc/self/task -mindepth 1 -maxdepth 1 | wc -l
find /usr/include -name '*.h' | LC_ALL=C sort | md5sum
"""

XARGS = r"""
exec 2>&1
mkdir out
seq 200 | xargs -P 8 -n 1 sh -c 'echo "$1 squared is $(($1 * $1))" > out/$1' sh
ls out | wc -l; cat out/* | sort -n | md5sum
seq 50 | xargs -P 4 -n 7 echo | tr ' ' '\n' | sort -n | md5sum
seq 1000 | xargs -n 100 | wc -l; printf 'a b\n"c d" e\n' | xargs -n 1; printf 'x\0y z\0' | xargs -0 -n 1 echo; seq 3 | xargs -I{} echo '<{}>'
seq 5 | xargs -n 1 sh -c 'exit $1' sh; echo $?
seq 300 | xargs -n 1 -P 4 sh -c 'exit 255' sh > /dev/null; echo $?
echo 1 | xargs nosuchcommand; echo $?; echo 1 | xargs sh -c 'kill -TERM $$'; echo $?
seq 40 | xargs -P 40 -n 1 sh -c 'echo ready > out/$1.started' sh; ls out/*.started | wc -l
# A slot number of its own for each of the children that run at one time.
seq 100 | xargs -P 4 -n 1 --process-slot-var=SLOT sh -c 'echo $SLOT' sh | sort -u | tr '\n' ' '
seq 30000 | xargs | wc -l; xargs -a scenario.sh -n 3 -d '\n' echo | wc -l; xargs --show-limits -s 2000 < /dev/null 2>&1 | wc -l
"""

suite = Suite("find").needs("findutils", "find", "xargs")
suite.add(script("find", FIND, prepare=prepare))
suite.add(script("xargs", XARGS)) \
    .vary(r"^xargs: sh: exited with status 255; aborting\n(xargs: sh: .*\n)*", "xargs aborting\n",
          because="how many children had been started by then depends on their timing") \
    .vary(r"^0 .*$", "SLOTS", because="how many slots are ever in use at one time depends on the children's timing")
sys.exit(suite.main())
