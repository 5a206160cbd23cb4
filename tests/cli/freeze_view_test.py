"""Freeze and thaw of a sandbox with a mount view: its private layer goes with it."""

import json
import os
import shutil

import cli

WRITES = """
echo mine > made; mkdir -p dir/sub; echo deep > dir/sub/file; ln -s made link; ln made other; chmod 640 other
echo after > file; rm gone; mv kept moved; mkfifo pipe; mkdir closed; echo in > closed/in; chmod 0 closed
exec 5>>held; echo first >&5; exec 6<removed; rm removed
dd if=/dev/zero of=sparse bs=1 count=1 seek=9999999 2> /dev/null
echo ready > shared/ready; read word < shared/go
echo second >&5; cat <&6 > answer; pwd > where; cat dir/sub/file file moved link >> answer; stat -c '%a %h' other >> answer
[ -e gone ] && echo "gone is there" >> answer
echo done > shared/done; read word < shared/end
"""


class FreezeView(cli.Case):
    def setUp(self):
        super().setUp()
        self.work = os.path.realpath(self.work)
        for name, text in (("file", "before\n"), ("gone", "gone\n"), ("kept", "kept\n"), ("removed", "removed\n")):
            with open(self.path(name), "w", encoding="ascii") as file:
                file.write(text)
        os.mkdir(self.path("shared"))
        for name in ("ready", "go", "done", "end"):
            os.mkfifo(self.path("shared/" + name))
        self.image = os.path.join(self.dir, "image")

    def path(self, name):
        return os.path.join(self.work, name)

    def wait_for(self, name):
        with open(self.path("shared/" + name), encoding="ascii") as file:
            return file.read()

    def say(self, name):
        with open(self.path("shared/" + name), "w", encoding="ascii") as file:
            file.write("x\n")

    def start(self):
        self.ok("run", "-d", "--name", "box", "--rw", "shared", "sh", "-c", WRITES)
        self.assertEqual(self.wait_for("ready"), "ready\n")

    def check_thawed(self, name):
        self.say("go")
        self.assertEqual(self.wait_for("done"), "done\n")
        cat = lambda file: self.ok("exec", name, "cat", self.path(file))
        self.assertEqual(cat("answer"), "removed\ndeep\nafter\nkept\nmine\n640 2\n")
        self.assertEqual(cat("where"), self.work + "\n")
        self.assertEqual(cat("held"), "first\nsecond\n")
        self.assertEqual(self.ok("exec", name, "stat", "-c", "%s %b", self.path("sparse")).split()[0], "10000000")
        self.assertEqual(self.ok("exec", name, "stat", "-c", "%F %a", self.path("closed")), "directory 0\n")
        self.assertEqual(self.ok("exec", name, "stat", "-c", "%F", self.path("pipe")), "fifo\n")
        changes = self.ok("diff", name)
        for line in ("M file", "D gone", "D kept", "A moved", "A made", "A other", "A dir/sub/file", "A link"):
            kind, file = line.split()
            self.assertIn(f"{kind} {self.path(file)}\n", changes)

    def end(self, name):
        self.say("end")
        self.assertEqual(self.beam("wait", name).returncode, 0)
        # Nothing of it is on the workstation but what it was to write there.
        self.assertEqual(sorted(os.listdir(self.work)), ["file", "gone", "kept", "removed", "shared"])

    def test_freeze_remove_thaw(self):
        self.start()
        self.assertEqual(self.beam("check", "box").returncode, 0)
        self.ok("freeze", "box", "-o", self.image)
        self.ok("rm", "box")
        self.ok("verify", self.image)
        self.assertEqual(self.ok("thaw", "-d", self.image), "box\n")
        self.check_thawed("box")
        self.end("box")

    def test_thaw_twice(self):
        self.start()
        self.ok("freeze", "box", "-o", self.image)
        self.ok("thaw", "-d", "--name", "copy", self.image)
        self.check_thawed("copy")
        self.end("copy")
        # The frozen one's own layer is as it was, and so is the image.
        self.assertNotIn("answer", self.ok("diff", "box"))
        self.ok("thaw", "-d", "--name", "again", self.image)
        self.assertNotIn("answer", self.ok("diff", "again"))
        self.check_thawed("again")
        self.end("again")

    def test_snapshot(self):
        self.start()
        self.ok("freeze", "--keep-running", "box", "-o", self.image)
        self.check_thawed("box")
        self.end("box")
        self.ok("thaw", "-d", "--name", "earlier", self.image)
        self.check_thawed("earlier")
        self.end("earlier")

    def test_image_on_another_file_system(self):
        # A copy that keeps neither attributes nor links.
        self.start()
        self.ok("freeze", "--compress", "zstd", "box", "-o", self.image)
        self.ok("rm", "box")
        other = os.path.join(self.dir, "other")
        os.mkdir(other, 0o700)
        for name in os.listdir(self.image):
            shutil.copyfile(os.path.join(self.image, name), os.path.join(other, name))
            shutil.copymode(os.path.join(self.image, name), os.path.join(other, name))
        shutil.rmtree(self.image)
        self.ok("thaw", "-d", other)
        self.check_thawed("box")
        self.end("box")

    def test_show(self):
        self.start()
        self.ok("freeze", "box", "-o", self.image)
        shown = json.loads(self.ok("show", "--json", self.image))
        layer = shown["sandbox"]["layer"]["entries"]
        made = [entry for entry in layer if entry["path"].endswith(os.path.join(os.path.basename(self.work), "made"))]
        self.assertEqual([entry["size"] for entry in made], [5])
        self.assertEqual(shown["sandbox"]["mounts"]["writable"], ["shared"])

    def test_damage_is_found(self):
        self.start()
        self.ok("freeze", "box", "-o", self.image)
        self.ok("rm", "box")
        for name in ("layer", "layer-data"):
            broken = os.path.join(self.dir, "broken")
            shutil.copytree(self.image, broken)
            with open(os.path.join(broken, name), "r+b") as file:
                file.seek(os.path.getsize(file.name) // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))
            for verb in (["verify"], ["thaw", "-d"]):
                done = self.beam(*verb, broken)
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertIn(name, done.stderr)
            os.unlink(os.path.join(broken, name))
            self.assertEqual(self.beam("thaw", "-d", broken).returncode, 5)
            shutil.rmtree(broken)
        self.assertEqual(json.loads(self.ok("ps", "-a", "--json")), [])


if __name__ == "__main__":
    cli.main()
