#!/usr/bin/python3
"""Real programs that write much, on the private layer: packages, builds, installs, archives, databases; usage:
programs_test.py VIEW_RUN

Each runs natively in one copy of a directory and in a mount view in another: it must print the same, and the workstation's
copy must stay as it was."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

VIEW_RUN = None
PROGRAMS = {
    "dpkg": ["dpkg-deb"], "cmake": ["cmake", "cc"], "npm": ["npm", "node"], "postgres": ["/usr/lib/postgresql/15/bin/initdb"],
    "git": ["git"], "sqlite": ["python3"], "tar": ["tar"], "rsync": ["rsync"],
}

SCRIPTS = {
    "dpkg": r"""
        mkdir -p deb/DEBIAN deb/usr/bin
        printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' > deb/DEBIAN/control
        echo hi > deb/usr/bin/x; ln -s x deb/usr/bin/z
        dpkg-deb -b deb x.deb > /dev/null; dpkg-deb -x x.deb out; diff -r deb/usr out/usr; find out | sort""",
    "cmake": r"""
        printf 'cmake_minimum_required(VERSION 3.10)\nproject(x C)\nadd_executable(x x.c)\ninstall(TARGETS x DESTINATION bin)\n' > CMakeLists.txt
        echo 'int main(void) { return 0; }' > x.c
        cmake -S . -B build > /dev/null; cmake --build build > /dev/null; cmake --install build --prefix "$PWD/inst" > /dev/null
        inst/bin/x; find inst | sort; stat -c '%a %n' inst/bin/x""",
    "npm": r"""
        mkdir pkg app; echo '{"name":"pkg","version":"1.0.0","bin":{"pk":"pk.js"}}' > pkg/package.json
        printf '#!/usr/bin/env node\nconsole.log("pk", process.argv.length)\n' > pkg/pk.js
        (cd pkg; npm pack --silent); cd app; echo '{"name":"app","version":"1.0.0"}' > package.json
        npm install --offline --no-audit --no-fund ../pkg/pkg-1.0.0.tgz > /dev/null; ./node_modules/.bin/pk 1; find . | sort""",
    "postgres": r"""
        PATH=/usr/lib/postgresql/15/bin:$PATH
        initdb -A trust -D pg > /dev/null; pg_ctl -D pg -o "-k $PWD -h ''" -l log -w start > /dev/null
        createdb -h "$PWD" t; pgbench -h "$PWD" -i -q t > /dev/null 2>&1
        pgbench -h "$PWD" -t 20 -c 2 t 2>/dev/null | grep processed; pg_ctl -D pg -m fast stop > /dev/null""",
    "git": r"""
        git init -q repo; cd repo; git config user.email a@b; git config user.name n
        for i in 1 2 3 4 5; do mkdir -p d$i; echo $i > d$i/f; git add .; git commit -qm $i; done
        git mv d1 moved; git commit -qm moved; git clone -q . ../clone; git gc -q; git status --short; git log --format=%s
        cd ../clone; git checkout -q HEAD~2; find . -path ./.git -prune -o -print | sort; git fsck 2>&1 | wc -l""",
    "sqlite": r"""
        python3 -c '
import sqlite3, os, threading
base = sqlite3.connect("db"); print(base.execute("pragma journal_mode=wal").fetchone()); base.execute("create table t(a)"); base.commit()
def work(n):
    own = sqlite3.connect("db", timeout=60)
    for i in range(20):
        own.execute("insert into t values(?)", (n * 100 + i,)); own.commit()
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(base.execute("select count(*), sum(a) from t").fetchone(), os.path.exists("db-wal"))'""",
    "tar": r"""
        mkdir -p t/a; echo x > t/a/f; ln t/a/f t/h; ln -s a t/l; mkfifo t/p; truncate -s 1M t/sparse; chmod 640 t/a/f; touch -d 2001-01-01 t/a/f
        tar cSf t.tar t; mkdir out; tar xf t.tar -C out; find out -printf '%p %y %m %n %s\n' | grep -v '^out/t/\?a\? d' | sort
        stat -c '%Y %h' out/t/h; diff t/a/f out/t/a/f; rm -rf out t; ls""",
    "rsync": r"""
        mkdir -p s/a; echo x > s/a/f; ln s/a/f s/h; ln -s a s/l; setfattr -n user.k -v v s/a/f
        rsync -aHAX s/ d/; diff -r s d; stat -c %h d/h; getfattr -n user.k --only-values d/h""",
}


class ProgramsTest(unittest.TestCase):
    def compare(self, name):
        missing = [program for program in PROGRAMS[name] if shutil.which(program) is None]
        if missing:
            self.skipTest(f"{missing[0]} is not installed")
        top = os.path.realpath(tempfile.mkdtemp(prefix="prog."))
        try:
            results = []
            for place, prefix in (("native", []), ("view", [VIEW_RUN, top + "/layer", "--"])):
                # The same path for both: what prints it prints the same.
                work = top + "/work"
                os.mkdir(work)
                open(work + "/marker", "w", encoding="ascii").close()
                done = subprocess.run([*prefix, "/bin/sh", "-e", "-c", SCRIPTS[name]], cwd=work, text=True, capture_output=True, timeout=250,
                                      check=False)
                results.append((done.returncode, done.stdout))
                if place == "view":
                    self.assertEqual(os.listdir(work), ["marker"], "the workstation's directory has changed")
                self.assertEqual(done.returncode, 0, f"{place}: {done.stdout}{done.stderr}")
                shutil.rmtree(work)
            self.assertEqual(results[0], results[1])
        finally:
            subprocess.run(["chmod", "-R", "u+rwX", top], check=False)
            shutil.rmtree(top)


for program in SCRIPTS:
    setattr(ProgramsTest, f"test_{program}", lambda self, name=program: self.compare(name))

if __name__ == "__main__":
    VIEW_RUN = sys.argv.pop(1)
    unittest.main()
