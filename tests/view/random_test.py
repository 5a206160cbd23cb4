#!/usr/bin/python3
"""Random operations on files by several processes at once, in a mount view and natively on a copy of the same tree: each
process's results, call by call, and the trees at the end have to be the same: usage: random_test.py VIEW_RUN [SEED [STEPS]]

The processes work in parts of the tree of their own, so that results don't depend on who comes first, but share
directories."""

import os
import random
import shutil
import subprocess
import sys
import tempfile

PROCESSES = 4


def make_tree(top):
    """The same tree every time."""
    dice = random.Random(1)
    for worker in range(PROCESSES):
        for d in ("a", "b", "a/c", "a/c/e", "d"):
            os.makedirs(f"{top}/{worker}/{d}", exist_ok=True)
        for i in range(12):
            directory = dice.choice(["a", "b", "a/c", "a/c/e", "d", ""])
            with open(f"{top}/{worker}/{directory}/f{i}", "w", encoding="ascii") as file:
                file.write(f"{i}" * dice.randrange(2000))
        os.symlink("a/c", f"{top}/{worker}/l1")
        os.symlink("../f1", f"{top}/{worker}/a/l2")
        os.symlink("nowhere", f"{top}/{worker}/l3")
    os.makedirs(f"{top}/shared", exist_ok=True)


class Worker:
    """Does one operation after the other and writes down what came of each."""

    def __init__(self, top, number, seed, steps):
        self.dice = random.Random(seed * 100 + number)
        self.top, self.number, self.steps = f"{top}/{number}", number, steps
        self.shared = f"{top}/shared"
        self.held = []
        self.last = ""

    def path(self):
        parts = [self.dice.choice(["a", "b", "c", "d", "e", "l1", "l2", "l3", "..", "n1", "n2"])
                 for _ in range(self.dice.randrange(3))]
        parts.append(self.dice.choice([f"f{self.dice.randrange(12)}", "n1", "n2", "n3", "a", "c", "l1", "l2", "l3", "e"]))
        if self.dice.random() < 0.05:
            parts.append("")
        # Never above the worker's own tree.
        depth = 0
        kept = []
        for part in parts:
            depth += -1 if part == ".." else 1
            if depth >= 0:
                kept.append(part)
            else:
                depth = 0
        path = "/".join(kept) or "a"
        if self.dice.random() < 0.05:
            return f"{self.shared}/{self.number}-{self.dice.randrange(5)}"
        return path if self.dice.random() < 0.7 else f"{self.top}/{path}"

    def step(self):
        kind = self.dice.choice(["open", "write", "append", "read", "unlink", "rename", "rename", "mkdir", "rmdir", "link",
                                 "symlink", "stat", "lstat", "chmod", "list", "truncate", "utime", "xattr", "exchange",
                                 "hold", "held", "readlink"])
        one, other = self.path(), self.path()
        number = self.dice.randrange(3000)
        self.last = f"{kind}({one}, {other}, {number})"
        if kind == "open":
            flags = self.dice.choice([os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL,
                                      os.O_RDONLY | os.O_DIRECTORY, os.O_WRONLY | os.O_NOFOLLOW, os.O_WRONLY | os.O_TRUNC])
            os.close(os.open(one, flags, 0o640))
            return "opened"
        if kind in ("write", "append"):
            fd = os.open(one, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if kind == "write" else os.O_APPEND), 0o644)
            os.write(fd, b"x" * number)
            os.close(fd)
            return number
        if kind == "read":
            fd = os.open(one, os.O_RDONLY)
            try:
                return hash_of(os.read(fd, 100000))
            finally:
                os.close(fd)
        if kind == "unlink":
            return os.unlink(one)
        if kind == "rename":
            return os.rename(one, other)
        if kind == "exchange":
            return os.rename(one, other) if number % 2 else os.replace(other, one)
        if kind == "mkdir":
            return os.mkdir(one, 0o755)
        if kind == "rmdir":
            return os.rmdir(one)
        if kind == "link":
            return os.link(one, other, follow_symlinks=False)
        if kind == "symlink":
            return os.symlink(self.dice.choice(["f1", "a", "../a/c", "n1", "/nowhere/at/all"]), one)
        if kind in ("stat", "lstat"):
            status = os.stat(one) if kind == "stat" else os.lstat(one)
            return shown(status)
        if kind == "chmod":
            return os.chmod(one, self.dice.choice([0o644, 0o600, 0o755, 0o700]))
        if kind == "list":
            return sorted(os.listdir(one))
        if kind == "truncate":
            return os.truncate(one, number)
        if kind == "utime":
            return os.utime(one, (number, number))
        if kind == "xattr":
            os.setxattr(one, "user.test", b"%d" % number)
            return sorted(os.listxattr(one))
        if kind == "readlink":
            return os.readlink(one)
        if kind == "hold":
            fd = os.open(one, os.O_RDWR)
            self.held.append(fd)
            return "held"
        if self.held:
            fd = self.held.pop(self.dice.randrange(len(self.held)))
            os.lseek(fd, 0, os.SEEK_SET)
            text = hash_of(os.read(fd, 100000))
            os.write(fd, b"h")
            os.close(fd)
            return text
        return "none"

    def run(self, report):
        os.chdir(self.top)
        with open(report, "w", encoding="utf-8") as out:
            for step in range(self.steps):
                try:
                    result = self.step()
                except OSError as error:
                    result = f"errno {error.errno}"
                out.write(f"{step} {self.last}: {result}\n")
            for fd in self.held:
                os.close(fd)


def hash_of(text):
    return f"{len(text)}:{sum(text) % 65521}"


def shown(status):
    kind = status.st_mode
    return f"{kind:o} {status.st_size if not kind & 0o40000 or kind & 0o100000 else '-'} {status.st_nlink if kind & 0o100000 else '-'}"


def workers(top, seed, steps, reports):
    children = []
    for number in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            Worker(top, number, seed, steps).run(f"{reports}/{number}")
            os._exit(0)
        children.append(pid)
    for pid in children:
        _, status = os.waitpid(pid, 0)
        if status != 0:
            sys.exit(f"a worker ended with {status}")
    # The tree as it is seen from where the workers are.
    with open(f"{reports}/tree", "w", encoding="utf-8") as out:
        for directory, folders, files in os.walk(top):
            folders.sort()
            for name in folders:
                if not os.path.islink(os.path.join(directory, name)):
                    os.chmod(os.path.join(directory, name), 0o755)
            for name in sorted(folders + files):
                path = os.path.join(directory, name)
                status = os.lstat(path)
                line = f"{os.path.relpath(path, top)} {shown(status)}"
                if os.path.islink(path):
                    line += " -> " + os.readlink(path)
                elif os.path.isfile(path):
                    with open(path, "rb") as file:
                        line += " " + hash_of(file.read())
                out.write(line + "\n")


def main():
    if sys.argv[1] == "--workers":
        workers(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
        return
    view_run = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 600
    top = os.path.realpath(tempfile.mkdtemp(prefix="random."))
    try:
        for name in ("native", "view"):
            os.makedirs(f"{top}/{name}/tree")
            os.makedirs(f"{top}/{name}-reports")
            make_tree(f"{top}/{name}/tree")
        before = subprocess.run(["ls", "-lR", "--time-style=full-iso", f"{top}/view/tree"], capture_output=True, check=True).stdout
        me = ["/usr/bin/python3", os.path.abspath(__file__), "--workers"]
        subprocess.run([*me, f"{top}/native/tree", str(seed), str(steps), f"{top}/native-reports"], check=True, timeout=100)
        subprocess.run([view_run, f"{top}/layer", "--rw", f"{top}/view-reports", "--", *me, f"{top}/view/tree", str(seed),
                        str(steps), f"{top}/view-reports"], check=True, timeout=300)
        after = subprocess.run(["ls", "-lR", "--time-style=full-iso", f"{top}/view/tree"], capture_output=True, check=True).stdout
        wrong = before != after
        if wrong:
            print("the workstation's tree has changed")
        for name in [str(number) for number in range(PROCESSES)] + ["tree"]:
            with open(f"{top}/native-reports/{name}", encoding="utf-8") as a, \
                 open(f"{top}/view-reports/{name}", encoding="utf-8") as b:
                for native, seen in zip(a, b):
                    seen = seen.replace(f"{top}/view/", f"{top}/native/")
                    if native != seen:
                        print(f"seed {seed}, {name}: natively {native.strip()!r}, in the view {seen.strip()!r}")
                        wrong = True
                        break
        if wrong:
            sys.exit(1)
        print(f"{PROCESSES * steps} operations, the same")
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", top], check=False)
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    main()
