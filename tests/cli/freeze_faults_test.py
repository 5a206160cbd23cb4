"""Faults at every step of freeze and thaw, full disks, killed ones, several at once: all or nothing."""

import glob
import os
import re
import shutil
import signal
import subprocess

import cli

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = 'echo up; while read a; do echo "got $a"; done; exit 7'


def fault_points(prefix):
    """All of the source: none is left out here that was added there."""
    found = set()
    for path in glob.glob(os.path.join(SOURCE, "migrate", "**", "*.cc"), recursive=True):
        with open(path, encoding="utf-8") as file:
            found |= set(re.findall(r'fault_point\("([a-z_.]+)"\)', file.read()))
    return sorted(name for name in found if name.split(".")[0] in prefix)


class Faults(cli.Case):
    def setUp(self):
        super().setUp()
        self.image = os.path.join(self.work, "image")

    def start(self, fault=None, name="box"):
        env = dict(self.env, BEAM_FAULT=fault) if fault else self.env
        # With a mount view, whose private layer is one more thing to write.
        run = self.popen("run", "--name", name, "--rw", self.work, "sh", "-c", PROGRAM, stdin=subprocess.PIPE, env=env)
        self.assertEqual(run.stdout.readline(), "up\n")
        return run

    def answers(self, run, word):
        run.stdin.write(word + "\n")
        run.stdin.flush()
        self.assertEqual(run.stdout.readline(), f"got {word}\n")

    def thaws(self):
        self.ok("verify", self.image)
        result = self.beam("thaw", "--rm", self.image, input="x\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "got x\n", ""))

    def left(self):
        return sorted(os.listdir(self.work))

    def test_a_fault_at_each_step_of_a_freeze(self):
        points = fault_points(("freeze", "image"))
        self.assertGreaterEqual(len(points), 8)
        for point in points:
            # A later passage, too: in the middle of writing.
            for count in (1, 3) if point in ("image.write", "image.sync") else (1,):
                with self.subTest(point=point, count=count):
                    run = self.start(f"{point}:{count}")
                    frozen = self.beam("freeze", "box", "-o", self.image)
                    if point == "freeze.durable":
                        # Too late for anything to be undone.
                        self.assertEqual(frozen.returncode, 0, frozen.stderr)
                    else:
                        self.assert_fault(frozen, 1, "box")
                        self.assertEqual(self.left(), [])
                        self.answers(run, "again")
                        self.ok("freeze", "box", "-o", self.image)
                    self.assertEqual(run.wait(cli.DEADLINE), 85)
                    self.thaws()
                    shutil.rmtree(self.image)

    def test_death_at_each_step_of_a_freeze(self):
        for point in fault_points(("freeze", "image")):
            with self.subTest(point=point):
                run = self.start(f"{point}:1:kill")
                self.assert_fault(self.beam("freeze", "box", "-o", self.image), 1, "box")
                # With its supervisor all of the sandbox is dead.
                self.assertEqual(run.wait(cli.DEADLINE), 125)
                self.assertEqual(self.ps("-a")["box"]["state"], "exited")
                self.ok("rm", "box")
                if os.path.exists(self.image):
                    self.assertIn(point, ("freeze.durable", "image.directory"))
                    self.thaws()
                    shutil.rmtree(self.image)
                    continue
                # What is left there makes room for the next.
                run = self.start()
                self.ok("freeze", "box", "-o", self.image)
                self.assertEqual(run.wait(cli.DEADLINE), 85)
                self.thaws()
                shutil.rmtree(self.image)
                self.assertEqual(self.left(), [])

    def frozen(self):
        run = self.start()
        self.ok("freeze", "box", "-o", self.image)
        self.assertEqual(run.wait(cli.DEADLINE), 85)

    def test_a_fault_at_each_step_of_a_thaw(self):
        self.frozen()
        points = fault_points(("thaw",))
        self.assertGreater(len(points), 5)
        state = "frozen"
        for point in points:
            for detach in ([], ["-d"]):
                for kill in ("", ":kill"):
                    with self.subTest(point=point, detach=detach, kill=kill):
                        result = self.beam("thaw", *detach, self.image, env=dict(self.env, BEAM_FAULT=f"{point}:1{kill}"))
                        self.assert_fault(result, 1 if detach else 125)
                        # With a killed supervisor they die, which takes a moment.
                        for pid in self.processes():
                            cli.wait_for_exit(int(pid))
                        self.assertEqual(self.processes(), [])
                        # What a killed one was about to be has ended; otherwise all is as it was.
                        expected = "exited" if kill else state
                        state = self.ps("-a")["box"]["state"]
                        self.assertEqual(state, expected)
        self.thaws()

    def processes(self):
        """Of this user, those that a thaw would have made: PID 1 and what it started."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/environ", "rb") as file:
                        mine = self.home.encode() in file.read()
                    with open(f"/proc/{name}/comm", encoding="utf-8") as file:
                        if mine and file.read().strip() in ("beam-init", "sh"):
                            found.append(name)
                except OSError:
                    continue
        return found

    def test_a_file_size_limit(self):
        run = self.popen("run", "--name", "box", "sh", "-c", PROGRAM, stdin=subprocess.PIPE,
                         preexec_fn=lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_FSIZE, (20000, 20000)))
        self.assertEqual(run.stdout.readline(), "up\n")
        self.assert_fault(self.beam("freeze", "box", "-o", self.image), 1, "File too large")
        self.assertEqual(self.left(), [])
        self.answers(run, "still here")

    def test_two_freezes_and_two_thaws_at_once(self):
        self.start()
        first = self.popen("freeze", "box", "-o", self.image)
        second = self.popen("freeze", "box", "-o", self.image + "2")
        statuses = sorted(process.wait(cli.DEADLINE) for process in (first, second))
        self.assertEqual(statuses, [0, 1])
        if not os.path.exists(self.image):
            os.rename(self.image + "2", self.image)
        self.assertEqual(self.left(), ["image"])
        # One gets the name, the other is told.
        thaws = [self.popen("thaw", "-d", self.image) for _ in range(2)]
        self.assertEqual(sorted(process.wait(cli.DEADLINE) for process in thaws), [0, 1])
        names = ["a", "b", "c"]
        thaws = [self.popen("thaw", "-d", "--name", name, self.image) for name in names]
        self.assertEqual([process.wait(cli.DEADLINE) for process in thaws], [0, 0, 0])
        self.assertLessEqual(set(names), set(self.ps("-a")))

    def test_a_killed_client_harms_nothing(self):
        run = self.start()
        freeze = self.popen("freeze", "box", "-o", self.image)
        freeze.send_signal(signal.SIGKILL)
        freeze.wait()
        # It was done or not begun; asking again says which.
        if self.beam("freeze", "box", "-o", self.image + "2").returncode == 0:
            self.image += "2"
        self.assertEqual(run.wait(cli.DEADLINE), 85)
        self.thaws()


class Contents(cli.Case):
    def test_compressed(self):
        command = ("/usr/bin/python3", "-c", "x = b'text ' * 2000000; import sys; print('up', flush=True); "
                   "sys.stdin.readline(); print(x == b'text ' * 2000000)")
        sizes = {}
        for method in ("none", "zstd"):
            image = os.path.join(self.work, method)
            run = self.popen("run", "--rm", "--name", "box", *command, stdin=subprocess.PIPE)
            self.assertEqual(run.stdout.readline(), "up\n")
            self.ok("freeze", "--compress", method, "box", "-o", image)
            self.assertEqual(run.wait(cli.DEADLINE), 85)
            sizes[method] = sum(os.path.getsize(path) for path in glob.glob(image + "/pages*"))
            self.ok("verify", image)
            self.assertIn("text text", self.ok("show", "--pages", image))
            self.assertEqual(self.beam("thaw", "--rm", image, input="\n").stdout, "True\n")
        self.assertLess(sizes["zstd"], sizes["none"] / 2)
        self.ok("run", "-d", "--name", "box", "sleep", "1000")
        self.assert_fault(self.beam("freeze", "--compress", "lzw", "box"), 2, "lzw", "zstd")

    def test_self_contained(self):
        program = os.path.join(self.work, "program")
        shutil.copy("/bin/dash", program)
        images = {}
        for name, options in (("without", []), ("with", ["--self-contained"])):
            run = self.popen("run", "--rm", "--name", "box", program, "-c", "echo up; read x; echo $x; read x; exit 3",
                             stdin=subprocess.PIPE)
            self.assertEqual(run.stdout.readline(), "up\n")
            images[name] = self.ok("freeze", *options, "box").strip()
            self.assertEqual(run.wait(cli.DEADLINE), 85)
        os.unlink(program)
        self.assert_fault(self.beam("thaw", images["without"]), 125, program)
        thaw = self.popen("thaw", images["with"], stdin=subprocess.PIPE)
        thaw.stdin.write("word\n")
        thaw.stdin.flush()
        self.assertEqual(thaw.stdout.readline(), "word\n")
        again = self.ok("freeze", "box", "-o", os.path.join(self.work, "again")).strip()
        self.assertEqual(thaw.wait(cli.DEADLINE), 85)
        # It does not need the image that it came from.
        shutil.rmtree(images["with"])
        self.assertEqual(self.beam("thaw", again, input="\n").returncode, 3)


if __name__ == "__main__":
    cli.main()
