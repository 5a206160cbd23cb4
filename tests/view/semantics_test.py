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


class SemanticsTest(unittest.TestCase):
    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="semantics."))
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


if __name__ == "__main__":
    VIEW_RUN, GUEST = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
