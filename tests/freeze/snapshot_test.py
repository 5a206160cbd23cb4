"""beam freeze --keep-running: the image is of one moment, the sandbox runs on, and nothing is left of the copy.

usage: snapshot_test.py BEAM CUT"""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
CUT = os.path.abspath(sys.argv.pop(2))

import cli  # noqa: E402


class Snapshot(cli.Case):
    def start(self, mebibytes):
        run = self.popen("run", "--name", "box", "--", CUT, str(mebibytes), stdin=subprocess.DEVNULL)
        self.assertEqual(run.stdout.readline(), "ready\n")
        return run

    def ask(self, name):
        self.ok("kill", "-s", "USR1", f"{name}:2")

    def test_many_of_one_sandbox(self):
        run = self.start(64)
        images = [os.path.join(self.work, f"image{number}") for number in range(4)]
        for number, image in enumerate(images):
            options = ["--compress", "zstd"] if number == 3 else []
            self.ok("freeze", "box", "--keep-running", "-o", image, *options)
        self.ask("box")
        self.assertEqual((run.wait(cli.DEADLINE), run.stdout.read()), (0, "CONSISTENT\n"))
        for image in images:
            self.ok("verify", image)
            thaw = self.popen("thaw", image, "--name", "again", stdin=subprocess.DEVNULL)
            self.ok("kill", "-s", "USR1", "again:2") if self.until_running("again", thaw) else None
            self.assertEqual((thaw.wait(cli.DEADLINE), thaw.stdout.read()), (0, "CONSISTENT\n"))

    def until_running(self, name, process):
        while process.poll() is None:
            if self.beam("tree", name).returncode == 0:
                return True
        return False

    def test_the_sandbox_ends_meanwhile(self):
        run = self.start(256)
        image = os.path.join(self.work, "image")
        freeze = self.popen("freeze", "box", "--keep-running", "-o", image)
        while freeze.poll() is None and not os.path.isdir(image + ".partial"):
            pass
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(cli.DEADLINE), 143)
        if freeze.wait(cli.DEADLINE) == 0:
            self.ok("verify", image)
        else:
            self.assertFalse(os.path.exists(image))


if __name__ == "__main__":
    cli.main()
