#!/usr/bin/python3
"""Path semantics: the guest path_semantics natively and in mount views, on files of the workstation (copy-on-write), of
the private layer, below --rw, --bind and --tmpfs: usage: semantics_test.py VIEW_RUN GUEST

After each of these the workstation's tree must be what it was, but for what was bound."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

VIEW_RUN, GUEST = None, None


def snapshot(top):
    """All that a tree is: names, types, modes, owners, times, sizes, links, attributes and contents."""
    found = {}
    for directory, folders, files in os.walk(top):
        for name in folders + files + ["."]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            about = [status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns, status.st_ctime_ns]
            if os.path.islink(path):
                about.append(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    about.append(hashlib.sha256(file.read()).hexdigest())
                about.append([(key, os.getxattr(path, key)) for key in os.listxattr(path)])
            found[path] = about
    return found


ANOTHER_USER = r"""
import errno, os, socket, sys
def refused(code, call, *words, **more):
    try:
        call(*words, **more)
    except OSError as error:
        assert error.errno == code, error
        return
    raise AssertionError(f"{call} {words} was not refused")
def is_own(path):
    status = os.lstat(path)
    assert (status.st_uid, status.st_gid) == (65534, 65534), (path, status)
os.chdir(sys.argv[1])
for call in (lambda: open("closed/new", "w"), lambda: open("closed/file", "a"), lambda: os.unlink("closed/file"),
             lambda: os.rename("own/file", "closed/file"), lambda: os.mkdir("closed/new"), lambda: os.truncate("closed/file", 0)):
    refused(errno.EACCES, call)
refused(errno.EPERM, os.chmod, "closed/file", 0o777)
refused(errno.EPERM, os.utime, "closed/file", (1, 1))
refused(errno.EPERM, os.unlink, "shared/others")
refused(errno.EPERM, os.rename, "shared/others", "shared/mine")
os.unlink("shared/mine")
assert not os.access("closed", os.W_OK) and not os.access("closed/file", os.W_OK) and os.access("closed/file", os.R_OK)
os.chdir("own")
open("file", "a").write("more\n")
assert open("file").read() == "text\nmore\n"
is_own("file")
os.chmod("file", 0o400)
assert not os.access("file", os.W_OK)
refused(errno.EACCES, open, "file", "a")
os.chmod("file", 0o640)
os.utime("file", (5, 5))
assert os.stat("file").st_mtime == 5
os.unlink("gone")
open("new", "w").write("x")
os.mkdir("made")
os.symlink("new", "link")
os.link("new", "hard")
os.mkfifo("fifo")
os.rename("sub", "moved")
assert open("moved/in").read() == "text\n"
open("moved/in", "w").write("over\n")
os.rename("moved/in", "made/in")
os.rmdir("moved")
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
for name in ("new", "made", "link", "hard", "fifo", "made/in", "socket"):
    is_own(name)
assert sorted(os.listdir(".")) == ["fifo", "file", "hard", "link", "made", "new", "socket"], os.listdir(".")
open("../shared/tried", "w").close()
os.unlink("../shared/tried")
print("done")
"""


class SemanticsTest(unittest.TestCase):
    def setUp(self):
        # Root's tests are another user's as well, who gets into no folder of root's.
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="semantics.", dir="/tmp" if os.geteuid() == 0 else None))
        self.tree = os.path.join(self.top, "tree")
        os.mkdir(self.tree)
        self.make(self.tree)

    def tearDown(self):
        subprocess.run(["chmod", "-R", "u+rwX", self.top], check=False)
        shutil.rmtree(self.top)

    @staticmethod
    def make(tree):
        subprocess.run([GUEST, "--make"], cwd=tree, check=True, stdout=subprocess.DEVNULL)

    def run_guest(self, prefix, *words, cwd=None):
        done = subprocess.run([*prefix, GUEST, *words], cwd=cwd or self.top, text=True, capture_output=True, timeout=100,
                              check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1:]), (0, ["PASS"]), done.stdout + done.stderr)
        return done.stdout

    def view(self, *options):
        return [VIEW_RUN, os.path.join(self.top, "layer"), *options, "--"]

    def test_native(self):
        # Those that show a refused permission are not for root.
        self.assertIn(f"{613 if os.geteuid() == 0 else 640} checks", self.run_guest([], self.tree))

    def test_workstation(self):
        before = snapshot(self.tree)
        self.run_guest(self.view(), self.tree)
        self.assertEqual(snapshot(self.tree), before)

    def test_layer(self):
        place = os.path.join(self.top, "empty")
        os.mkdir(place)
        self.run_guest(self.view(), "--make", cwd=place)
        self.run_guest(self.view(), place)
        self.assertEqual(os.listdir(place), [])

    def test_writable(self):
        self.run_guest(self.view("--rw", self.tree), self.tree)

    def test_bind(self):
        self.run_guest(self.view("--bind", self.tree + ":/mnt/some/where"), "/mnt/some/where")

    def test_tmpfs(self):
        before = snapshot(self.tree)
        done = subprocess.run([*self.view("--tmpfs", self.tree), "/bin/sh", "-c", f"cd {self.tree} && exec {GUEST}"],
                              text=True, capture_output=True, timeout=100, check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1:]), (0, ["PASS"]), done.stdout + done.stderr)
        self.assertEqual(snapshot(self.tree), before)

    @unittest.skipUnless(os.geteuid() == 0, "only root's processes can become another user's")
    def test_another_user(self):
        """A process of root's sandbox that has given its ids up: refused as such, and given its due."""
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chmod(self.top, 0o755)
        place = os.path.join(self.top, "own")
        for directory in (place, os.path.join(place, "sub"), os.path.join(self.top, "shared"), os.path.join(self.top, "closed")):
            os.mkdir(directory)
        for path in ("own/file", "own/gone", "own/sub/in", "shared/others", "shared/mine", "closed/file"):
            with open(os.path.join(self.top, path), "w", encoding="ascii") as file:
                file.write("text\n")
        subprocess.run(["chown", "-R", "65534:65534", place, os.path.join(self.top, "shared/mine")], check=True)
        os.chmod(os.path.join(self.top, "shared"), 0o1777)
        before = snapshot(self.top)
        for options in ([], ["--rw", self.top]):
            done = subprocess.run([*self.view(*options), *other, "/usr/bin/python3", "-c", ANOTHER_USER, self.top], text=True,
                                  capture_output=True, timeout=100, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "done\n", ""))
            if not options:
                after = snapshot(self.top)
                self.assertEqual({path: about for path, about in after.items() if "/layer" not in path and path != self.top + "/."},
                                 {path: about for path, about in before.items() if path != self.top + "/."})


if __name__ == "__main__":
    VIEW_RUN, GUEST = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
