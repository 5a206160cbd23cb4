"""beam freeze, thaw, check, show, verify: statuses, streams, records."""

import json
import os
import re
import signal
import socket
import subprocess

import cli

TWO_LINES = 'read a; echo "one $a"; read b; echo "two $b"; exit 7'


class Frozen(cli.Case):
    def image(self, leaf="image"):
        return os.path.join(self.work, leaf)

    def frozen(self, name="box", command=TWO_LINES, leaf="image", options=()):
        """Runs `command` with a pipe for stdin, lets it read and answer a line, and freezes it. Its image."""
        run = self.popen("run", "--name", name, *options, "--", "sh", "-c", command, stdin=subprocess.PIPE)
        run.stdin.write("first\n")
        run.stdin.flush()
        self.assertEqual(run.stdout.readline(), "one first\n")
        printed = self.ok("freeze", name, "-o", self.image(leaf))
        self.assertEqual(printed, self.image(leaf) + "\n")
        self.assertEqual(run.wait(cli.DEADLINE), 85)
        self.assertEqual(run.stderr.read(), f"beam: {name} frozen to {self.image(leaf)}\n")
        return self.image(leaf)


class FreezeAndThaw(Frozen):
    def test_streams_and_status_are_those_of_the_thaw(self):
        image = self.frozen()
        result = self.beam("thaw", image, input="second\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "two second\n", ""))

    def test_an_image_thaws_again_and_again(self):
        image = self.frozen()
        for word in ("a", "b", "c"):
            result = self.beam("thaw", image, input=word + "\n")
            self.assertEqual((result.returncode, result.stdout, result.stderr), (7, f"two {word}\n", ""))

    def test_what_was_thawed_freezes_again(self):
        image = self.frozen(command='n=0; read x; echo "one $x"; while read a; do n=$((n+1)); echo "$n $a"; done; exit $n')
        for round_number in range(1, 4):
            thaw = self.popen("thaw", image, stdin=subprocess.PIPE)
            thaw.stdin.write(f"line{round_number}\n")
            thaw.stdin.flush()
            self.assertEqual(thaw.stdout.readline(), f"{round_number} line{round_number}\n")
            image = self.ok("freeze", "box", "-o", self.image(f"again{round_number}")).strip()
            self.assertEqual(thaw.wait(cli.DEADLINE), 85)
        result = self.beam("thaw", image)
        self.assertEqual((result.returncode, result.stdout), (3, ""))

    def test_files_as_streams(self):
        first, second = self.image("first"), self.image("second")
        with open(first, "w", encoding="ascii") as file:
            run = self.popen("run", "--name", "box", "sh", "-c", "echo before; echo up >&2; read x; echo after $x",
                             stdin=subprocess.PIPE, stdout=file)
        self.assertEqual(run.stderr.readline(), "up\n")
        image = self.ok("freeze", "box").strip()
        self.assertEqual(run.wait(cli.DEADLINE), 85)
        with open(second, "w", encoding="ascii") as file:
            file.write("head\n")
            file.flush()
            done = subprocess.run([cli.BEAM, "thaw", image], stdout=file, input=b"x", env=self.env, timeout=cli.DEADLINE, check=False)
        self.assertEqual(done.returncode, 0)
        with open(first, encoding="ascii") as one, open(second, encoding="ascii") as two:
            self.assertEqual((one.read(), two.read()), ("before\n", "head\nafter x\n"))

    def test_the_end_of_a_stream_is_seen_after_a_thaw_too(self):
        image = self.frozen(command='read x; echo "one $x"; read x; read y; exec >&- 2>&-; exec sleep 1000')
        thaw = self.popen("thaw", "--rm", image, stdin=subprocess.PIPE)
        thaw.stdin.write("x\ny\n")
        thaw.stdin.flush()
        self.assertEqual(thaw.stdout.readline(), "")
        self.assertIsNone(thaw.poll())
        self.ok("rm", "-f", "box")
        self.assertEqual(thaw.wait(cli.DEADLINE), 137)

    def test_default_place(self):
        self.detached("sh", "-c", "exec sleep 1000")
        image = self.ok("freeze", "box").strip()
        self.assertRegex(image, re.escape(self.home) + r"/images/box-\d{8}-\d{6}\Z")
        self.assertEqual(os.stat(image).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(os.path.dirname(image)).st_mode & 0o777, 0o700)

    def test_relative_place(self):
        self.detached("sleep", "1000")
        self.assertEqual(self.ok("freeze", "box", "-o", "here"), os.path.join(os.path.realpath(self.work), "here") + "\n")
        self.ok("verify", "here/")

    def test_detached_thaw_goes_on_with_the_log(self):
        self.detached("sh", "-c", 'echo before; trap "echo after; exit 9" TERM; while :; do sleep 1000 & wait; done')
        self.wait_for_log("before\n")
        image = self.ok("freeze", "box").strip()
        self.assertEqual(self.ok("logs", "box"), "before\n")
        self.assertEqual(self.ok("thaw", "-d", image), "box\n")
        self.ok("kill", "box")
        self.assertEqual(self.beam("wait", "box").returncode, 9)
        self.assertEqual(self.ok("logs", "box"), "before\nafter\n")

    def test_under_another_name_beside_the_first(self):
        self.detached("sleep", "1000")
        image = self.ok("freeze", "--keep-running", "box").strip()
        self.assertEqual(self.ps()["box"]["state"], "running")
        self.assertEqual(self.ok("thaw", "-d", "--name", "copy", image), "copy\n")
        listed = self.ps()
        self.assertEqual((listed["copy"]["state"], listed["copy"]["group"]), ("running", "copy"))
        self.assertEqual((listed["copy"]["pids"], listed["copy"]["command"]), (2, "sleep 1000"))
        self.assert_fault(self.beam("thaw", "-d", image), 1, "box", "in use", "--name")
        self.assert_fault(self.beam("thaw", image), 125, "box", "in use", "--name")

    def test_rm(self):
        image = self.frozen(options=["--rm"])
        self.assertEqual(self.ps("-a"), {})
        self.assertEqual(self.beam("thaw", "--rm", image, input="x\n").returncode, 7)
        self.assertEqual(self.ps("-a"), {})

    def test_states(self):
        image = self.frozen()
        entry = self.ps("-a")["box"]
        self.assertEqual((entry["state"], entry["pids"]), ("frozen", 0))
        self.ok("prune")
        self.assertEqual(self.ps("-a")["box"]["state"], "frozen")
        self.assertEqual(self.beam("wait", "box").returncode, 85)
        self.assertEqual(self.beam("thaw", image, input="x\n").returncode, 7)
        self.assertEqual(self.ps("-a")["box"]["state"], "exited")
        self.assertEqual(self.beam("wait", "box").returncode, 7)
        self.ok("rm", "box")
        self.assertTrue(os.path.isdir(image))

    def test_signals_go_on_to_a_foreground_thaw(self):
        image = self.frozen(command='trap "exit 5" INT; read x; echo "one $x"; while :; do sleep 1000 & wait; done')
        thaw = self.popen("thaw", image)
        while self.ps().get("box", {}).get("state") != "running":
            pass
        thaw.send_signal(signal.SIGINT)
        self.assertEqual(thaw.wait(cli.DEADLINE), 5)

    def test_exec_in_a_thawed_sandbox(self):
        self.detached("sleep", "1000", options=["--env", "COLOUR=red", "--workdir", "/usr"])
        self.ok("thaw", "-d", self.ok("freeze", "box").strip())
        self.assertEqual(self.ok("exec", "box", "sh", "-c", 'echo $COLOUR $PWD'), "red /usr\n")

    def test_exec_wait_and_freeze_at_once(self):
        self.detached("sleep", "1000")
        wait = self.popen("wait", "box")
        execed = self.popen("exec", "box", "sh", "-c", "echo up; read x; echo $x", stdin=subprocess.PIPE)
        self.assertEqual(execed.stdout.readline(), "up\n")
        image = self.ok("freeze", "box").strip()
        for process in (wait, execed):
            self.assertEqual(process.wait(cli.DEADLINE), 85)
            self.assertEqual(process.stderr.read(), f"beam: box frozen to {image}\n")
        self.ok("thaw", "-d", image)
        # What it was executed from is gone: it read the end of its input.
        self.assertEqual(self.ps()["box"]["pids"], 2)

    def test_the_image_of_a_kept_sandbox_is_of_that_moment(self):
        run = self.popen("run", "--name", "box", "sh", "-c", TWO_LINES, stdin=subprocess.PIPE)
        run.stdin.write("first\n")
        run.stdin.flush()
        self.assertEqual(run.stdout.readline(), "one first\n")
        self.ok("freeze", "--keep-running", "-o", self.image(), "box")
        run.stdin.write("here\n")
        run.stdin.flush()
        self.assertEqual((run.stdout.readline(), run.wait(cli.DEADLINE)), ("two here\n", 7))
        self.ok("rm", "box")
        result = self.beam("thaw", self.image(), input="there\n")
        self.assertEqual((result.returncode, result.stdout), (7, "two there\n"))


class Refusals(Frozen):
    def connected_outside(self):
        """A sandbox with a connection to a socket of this test: nothing that could be frozen."""
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        path = os.path.join(self.work, "socket")
        server.bind(path)
        server.listen()
        self.detached("/usr/bin/python3", "-c",
                      "import socket, sys, time\n"
                      f"s = [socket.socket(socket.AF_UNIX) for i in range(2)]; [i.connect({path!r}) for i in s]\n"
                      "print('up', flush=True); time.sleep(1000)")
        connections = [server.accept()[0] for _ in range(2)]
        for connection in connections:
            self.addCleanup(connection.close)

    def test_obstacles_are_all_listed(self):
        self.connected_outside()
        for result in (self.beam("check", "box", "--json"), self.beam("check", "box"), self.beam("freeze", "box", "-o", "i")):
            self.assertEqual(result.returncode, 3)
        found = json.loads(self.beam("check", "box", "--json").stdout)
        self.assertFalse(found["freezable"])
        sockets = [entry for entry in found["obstacles"] if "socket:[" in entry["object"]]
        self.assertEqual([(entry["vpid"], entry["object"][:5]) for entry in sockets], [(2, "fd 3 "), (2, "fd 4 ")])
        for entry in sockets:
            self.assertEqual(set(entry), {"vpid", "object", "reason"})
        refused = self.beam("freeze", "box", "-o", "i")
        self.assertEqual((refused.returncode, refused.stdout), (3, ""))
        for entry in found["obstacles"]:
            self.assertIn(f"beam: box:{entry['vpid']}: {entry['object']}: {entry['reason']}\n", refused.stderr)
        self.assertEqual(os.listdir(self.work), ["socket"])
        self.assertEqual(self.ps()["box"]["state"], "running")

    def test_check_of_what_can_be_frozen(self):
        self.detached("sleep", "1000")
        self.assertEqual(json.loads(self.ok("check", "--json", "box")), {"freezable": True, "obstacles": []})
        self.assertEqual(self.ok("check", "box"), "box: can be frozen\n")

    def test_no_such(self):
        for verb in ("freeze", "check"):
            self.assert_fault(self.beam(verb, "nobody"), 4, "nobody", "no such sandbox")
        for words in (("show", "nothing"), ("verify", "nothing"), ("thaw", "-d", "nothing")):
            self.assert_fault(self.beam(*words), 4, "nothing", "no such image")
        self.assert_fault(self.beam("thaw", "nothing"), 125, "nothing", "no such image")

    def test_wrong_usage(self):
        for words in (("freeze",), ("check",), ("show",), ("verify",), ("thaw", "-d"), ("freeze", "--florp", "x")):
            self.assert_fault(self.beam(*words), 2)
        for words in (("thaw",), ("thaw", "--florp", "x"), ("thaw", "--name", "a/b", "x")):
            self.assert_fault(self.beam(*words), 125)

    def test_a_place_that_is_taken_or_missing(self):
        self.detached("sleep", "1000")
        os.mkdir(self.image())
        self.assert_fault(self.beam("freeze", "box", "-o", self.image()), 1, self.image())
        self.assert_fault(self.beam("freeze", "box", "-o", self.image("no/where")), 1, self.image("no/where"))
        self.assertEqual(self.ps()["box"]["state"], "running")
        self.assertEqual(os.listdir(self.work), ["image"])

    def test_what_has_ended(self):
        self.assertEqual(self.beam("run", "--name", "box", "true").returncode, 0)
        self.assert_fault(self.beam("freeze", "box"), 1, "box", "not running")

    def test_a_file_that_has_changed(self):
        path = os.path.join(self.work, "data")
        with open(path, "w", encoding="ascii") as file:
            file.write("one first\nline\n")
        image = self.frozen(command='exec 5<data; read x <&5; echo "$x"; read a; read b; cat <&5')
        with open(path, "a", encoding="ascii") as file:
            file.write("more\n")
        self.assert_fault(self.beam("thaw", image), 125, "data", "changed", "--force")
        self.assert_fault(self.beam("thaw", "-d", image), 1, "data", "changed", "--force")
        self.assertEqual(self.ps("-a")["box"]["state"], "frozen")
        result = self.beam("thaw", "--force", image, input="x\n")
        self.assertEqual((result.returncode, result.stdout), (0, "line\nmore\n"))


class Reading(Frozen):
    def test_show(self):
        image = self.frozen()
        shown = json.loads(self.ok("show", "--json", image))
        self.assertEqual(list(shown), ["format", "sandbox", "processes", "objects", "memory", "files"])
        self.assertEqual(shown["sandbox"]["name"], "box")
        self.assertEqual([process["vpid"] for process in shown["processes"]], [1, 2])
        self.assertIn("external_stream", [entry["kind"] for entry in shown["objects"]])
        text = self.ok("show", image)
        for part in ("format\n", "sandbox\n", "processes\n", "objects\n", "memory\n", "files\n", "r-xp /"):
            self.assertIn(part, text)
        pages = json.loads(self.ok("show", "--json", "--pages", image))
        run = pages["memory"]["address_spaces"][1]["pages"][0]
        self.assertEqual(len(run["contents"]), 2 * run["size"])
        self.assertIn("first", self.ok("show", "--pages", image))

    def test_verify(self):
        image = self.frozen()
        self.assertEqual(self.ok("verify", image), "")
        names = os.listdir(image)
        self.assertIn("manifest", names)
        for name in names:
            path = os.path.join(image, name)
            with open(path, "rb") as file:
                whole = file.read()
            if not whole:
                continue
            for what, content in (("cut", whole[:-1]), ("longer", whole + b"x"), ("empty", b""), ("flipped", flip(whole)),
                                  ("missing", None)):
                with self.subTest(file=name, damage=what):
                    os.unlink(path)
                    if content is not None:
                        with open(path, "wb") as file:
                            file.write(content)
                    for words in (("verify", image), ("thaw", image), ("thaw", "-d", image)):
                        self.assert_fault(self.beam(*words), 5, name)
                    self.assertEqual(self.ps("-a")["box"]["state"], "frozen")
            with open(path, "wb") as file:
                file.write(whole)
        self.ok("verify", image)

    def test_no_image(self):
        directory = os.path.join(self.work, "empty")
        os.mkdir(directory)
        for place in (directory, "/etc/passwd"):
            for words in (("verify", place), ("show", place), ("thaw", place), ("thaw", "-d", place)):
                self.assert_fault(self.beam(*words), 5, place)


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1:]


if __name__ == "__main__":
    cli.main()
