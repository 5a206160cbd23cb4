"""beam run with a mount view; beam diff and beam apply."""

import json
import os
import subprocess
import unittest

import cli


class View(cli.Case):
    def setUp(self):
        super().setUp()
        self.work = os.path.realpath(self.work)
        for name, text in (("file", "before\n"), ("other", "other\n"), ("gone", "gone\n")):
            self.put(name, text)
        os.mkdir(self.path("shared"))

    def path(self, name):
        return os.path.join(self.work, name)

    def put(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def changed(self):
        return self.beam("run", "--name", "box", "--rw", "shared", "sh", "-c",
                         "echo after > file; rm gone; mkdir new; echo in > new/in; chmod 755 new/in; echo out > shared/out; ln -s new link")

    def test_changes_stay_in_the_layer(self):
        done = self.changed()
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertRegex(done.stderr, r"\Abeam: box: left \d+ changes in its private layer; .*beam diff box.*beam apply box\n\Z")
        self.assertEqual((self.read("file"), self.read("gone"), self.read("shared/out")), ("before\n", "gone\n", "out\n"))
        self.assertEqual(sorted(os.listdir(self.work)), ["file", "gone", "other", "shared"])

    def test_without_options_nothing_reaches_the_workstation(self):
        done = self.beam("run", "--rm", "sh", "-c", "echo after > file; rm gone; mkdir new; cat file")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "after\n", ""))
        self.assertEqual((self.read("file"), self.read("gone")), ("before\n", "gone\n"))
        self.assertEqual(sorted(os.listdir(self.work)), ["file", "gone", "other", "shared"])

    def test_the_workstation_itself(self):
        done = self.beam("run", "--rw", "/", "--show", "/", "sh", "-c", "echo after > file; rm gone")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(self.read("file"), "after\n")
        self.assertEqual(sorted(os.listdir(self.work)), ["file", "other", "shared"])

    def test_many_files_in_a_directory(self):
        for i in range(20000):
            os.close(os.open(self.path(f"n{i}"), os.O_CREAT | os.O_WRONLY, 0o644))
        there = self.ok("run", "--rm", "sh", "-c", "echo x > new; rm n5; mv n6 moved; ls | wc -l; cat new; ls | grep -c '^n[567]$'")
        self.assertEqual(there.split(), ["20004", "x", "1"])
        self.assertEqual(len(os.listdir(self.work)), 20004)

    @unittest.skipUnless(os.getuid() == 0, "only root can mount the small file system that it fills")
    def test_a_full_disk(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3M,mode=700", "none", self.home], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.home], check=True)
        with open(self.path("large"), "wb") as file:
            file.write(b"0123456789abcdef" * (1 << 19))
        program = r"""
import errno, os
def fails(expected, call, *words):
    try:
        call(*words)
    except OSError as error:
        assert error.errno == expected, error
        return
    raise AssertionError(f"{words} did not fail")
new = open("new", "wb", buffering=0)
fails(errno.ENOSPC, lambda: [new.write(bytes(1 << 16)) for _ in range(1000)])
fails(errno.ENOSPC, open, "large", "ab")
assert open("large", "rb").read() == b"0123456789abcdef" * (1 << 19)
new.close()
os.unlink("new")
open("file", "a").write("and more\n")
os.unlink("large")
os.rename("gone", "kept")
print(open("file").read() + open("kept").read(), end="")
"""
        done = self.beam("run", "--rm", "/usr/bin/python3", "-c", program)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "before\nand more\ngone\n", ""))
        self.assertEqual(os.stat(self.path("large")).st_size, 1 << 23)
        self.assertEqual((self.read("file"), self.read("gone")), ("before\n", "gone\n"))

    def test_diff(self):
        self.changed()
        expected = [("M", "file"), ("D", "gone"), ("A", "link"), ("A", "new"), ("A", "new/in")]
        self.assertEqual(self.ok("diff", "box"), "".join(f"{kind} {self.path(name)}\n" for kind, name in expected))
        self.assertEqual(json.loads(self.ok("diff", "--json", "box")),
                         [{"change": kind, "path": self.path(name)} for kind, name in expected])

    def test_apply(self):
        self.changed()
        self.assertEqual(self.ok("apply", "box"), "")
        self.assertEqual((self.read("file"), self.read("new/in"), os.readlink(self.path("link"))), ("after\n", "in\n", "new"))
        self.assertFalse(os.path.exists(self.path("gone")))
        self.assertEqual(os.stat(self.path("new/in")).st_mode & 0o7777, 0o755)
        self.assertEqual(self.ok("diff", "box"), "")

    def test_apply_some(self):
        self.changed()
        self.ok("apply", "box", "new/in", self.path("gone"))
        self.assertEqual((self.read("file"), self.read("new/in")), ("before\n", "in\n"))
        self.assertFalse(os.path.exists(self.path("gone")))
        done = self.beam("apply", "box", "other")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has changed nothing there", done.stderr)

    def test_apply_refuses_what_has_changed_since(self):
        self.changed()
        self.put("file", "meanwhile\n")
        done = self.beam("apply", "box")
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.path("file") + ": changed on the workstation since", done.stderr)
        self.assertEqual(self.read("file"), "meanwhile\n")
        self.assertFalse(os.path.exists(self.path("new")))
        self.ok("apply", "--force", "box")
        self.assertEqual(self.read("file"), "after\n")

    def test_nothing_changed_nothing_said(self):
        done = self.beam("run", "--name", "box", "--rw", "shared", "sh", "-c", "cat file; ls > /dev/null; echo > shared/x")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "before\n", ""))
        self.assertEqual(self.ok("diff", "box"), "")

    def test_removed_with_rm(self):
        done = self.beam("run", "--rm", "--hide", "gone", "sh", "-c", "mkdir -p a/b; chmod 0 a/b a; cat gone; echo x > file")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(os.listdir(os.path.join(self.home, "sandboxes")), [])

    def test_binds_and_the_rest(self):
        done = self.ok("run", "--rm", "--bind", f"{self.work}:/mnt/here:ro", "--tmpfs", "shared", "sh", "-c",
                       "cat /mnt/here/file; touch /mnt/here/x 2>&1; touch shared/y; ls shared; cat /proc/mounts | grep -c here")
        self.assertEqual(done, "before\ntouch: cannot touch '/mnt/here/x': Read-only file system\ny\n1\n")
        self.assertEqual(os.listdir(self.path("shared")), [])

    def test_secrets(self):
        home = os.path.join(self.dir, "user")
        os.makedirs(home + "/.ssh")
        with open(home + "/.ssh/id", "w", encoding="ascii") as file:
            file.write("SECRET")
        env = dict(self.env, HOME=home)
        done = self.beam("run", "--rm", "--tmpfs", "shared", "sh", "-c", "cat ~/.ssh/id; ls -a ~/.ssh | wc -l", env=env)
        self.assertNotIn("SECRET", done.stdout)
        self.assertEqual(done.stdout, "2\n")
        done = self.beam("run", "--rm", "--show", home + "/.ssh", "cat", home + "/.ssh/id", env=env)
        self.assertEqual(done.stdout, "SECRET")
        self.assertIn("~/.ssh", self.ok("doctor"))

    def test_wrong_options(self):
        for options, words in ((["--rw", "none"], "--rw none"), (["--bind", "x"], "--bind 'x': is not SRC:DST"),
                               (["--bind", "none:/x"], "--bind none"), (["--tmpfs", "/"], "--tmpfs /"),
                               (["--show", ""], "needs a path")):
            done = self.beam("run", *options, "true")
            self.assertEqual(done.returncode, 125, options)
            self.assertIn(words, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertEqual(self.beam("diff", "none").returncode, 4)
        self.assertEqual(self.beam("apply", "none").returncode, 4)

    def test_exec_sees_the_view(self):
        self.ok("run", "-d", "--name", "box", "--rw", "shared", "sh", "-c", "echo after > file; echo ready > shared/ready; exec sleep 1000")
        self.assertEqual(self.ok("exec", "box", "sh", "-c", "until [ -e shared/ready ]; do :; done; cat file"), "after\n")
        self.assertEqual(self.beam("check", "box").returncode, 0)


if __name__ == "__main__":
    cli.main()
