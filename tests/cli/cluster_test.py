"""Workstations on this machine, and sandboxes that move between them: migrate, ws, lab."""

import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import threading

import cli

COUNT = ("import sys, time\n"
         "for i in range(10 ** 6):\n"
         "  print(i, flush=True)\n"
         "  time.sleep(0.005)\n")
# Changes some of its memory all the time, and checks all of it.
CHURN = ("import hashlib, os, time\n"
         "block = os.urandom(1 << 20)\n"
         "kept = [bytearray(block[i:] + block[:i]) for i in range(48)]\n"
         "was = hashlib.sha256(b''.join(kept)).hexdigest()\n"
         "for i in range(10 ** 6):\n"
         "  kept[i % 48][i * 4099 % (1 << 20)] ^= 255\n"
         "  kept[i % 48][i * 4099 % (1 << 20)] ^= 255\n"
         "  busy = bytearray(os.urandom(4096)) * (i % 300)\n"
         "  if i % 40 == 0:\n"
         "    print('same' if hashlib.sha256(b''.join(kept)).hexdigest() == was else 'CHANGED', flush=True)\n"
         "  time.sleep(0.001)\n")
# Numbered blocks over connections within the sandbox.
FLOW = """
import socket, threading, time
listener = socket.create_server(("127.0.0.1", 0))
tcp = socket.create_connection(listener.getsockname()), listener.accept()[0]

def send(to):
    number = 0
    while True:
        to.sendall(b"%08d" % number * 100)
        number += 1
        time.sleep(0.0005)

def receive(name, source):
    number = 0
    while True:
        block = b""
        while len(block) < 800:
            part = source.recv(800 - len(block))
            assert part
            block += part
        assert block == b"%08d" % number * 100, (name, number, block)
        number += 1
        if number % 100 == 0:
            print(name, number, flush=True)

for name, (one, other) in (("tcp", tcp), ("unix", socket.socketpair())):
    threading.Thread(target=send, args=(one,)).start()
    threading.Thread(target=receive, args=(name, other)).start()
"""
ECHO = 'echo up; while read a; do echo "got $a"; done; echo end >&2; exit 7'


class Lab(cli.Case):
    workstations = 3

    def setUp(self):
        super().setUp()
        self.up()
        self.addCleanup(self.down)

    def up(self, **env):
        self.ok("lab", "up", str(self.workstations), env=dict(self.env, **env))

    def down(self):
        if os.path.isdir(os.path.join(self.home, "lab")):
            self.ok("lab", "down")

    def at(self, number, *words, **options):
        return self.beam("lab", "exec", f"ws{number}", "--", "beam", *words, **options)

    def ok_at(self, number, *words, **options):
        return self.ok("lab", "exec", f"ws{number}", "--", "beam", *words, **options)

    def popen_at(self, number, *words, **options):
        return self.popen("lab", "exec", f"ws{number}", "--", "beam", *words, **options)

    def home_of(self, number):
        return os.path.join(self.home, "lab", f"ws{number}")

    def here(self, number):
        """The sandboxes of that workstation's own home."""
        with open(os.path.join(self.home_of(number), "cluster", "workstations.json"), encoding="utf-8") as file:
            name = json.load(file)["self"]
        return {row["name"]: row["state"] for row in json.loads(self.ok_at(number, "ps", "-a", "--json"))
                if row["workstation"] == name}

    def log(self, number, name="job"):
        return self.ok_at(number, "logs", name).splitlines()

    def counts_on(self, number, name="job"):
        """It runs there, has lost nothing and done nothing twice."""
        before = len(self.log(number, name))
        self.wait_until(lambda: len(self.log(number, name)) > before + 3, f"{name} goes on at ws{number}")
        lines = self.log(number, name)
        self.assertEqual(lines, [str(i) for i in range(len(lines))])

    def start_counting(self, number=1, env=None, name="job"):
        self.ok_at(number, "run", "-d", "--name", name, "--", "python3", "-c", COUNT, env=dict(self.env, **(env or {})))
        self.wait_until(lambda: len(self.log(number, name)) > 3, f"{name} counts")


class Workstations(Lab):
    def test_lists(self):
        rows = json.loads(self.ok("ws", "--json"))
        self.assertEqual([(row["name"], row["state"], row["sandboxes"]) for row in rows],
                         [("ws1", "up", 0), ("ws2", "up", 0), ("ws3", "up", 0)])
        for row in rows:
            self.assertRegex(row["address"], r"\A127\.\d+\.\d+\.\d+:\d+\Z")
            self.assertGreaterEqual(row["load"], 0)
        self.assertEqual([line.split()[0] for line in self.ok("lab", "ls").splitlines()], ["ws1", "ws2", "ws3"])
        self.start_counting()
        self.assertEqual([row["sandboxes"] for row in json.loads(self.ok_at(2, "ws", "--json"))], [1, 0, 0])

    def test_up_twice_and_down_twice(self):
        self.assert_fault(self.beam("lab", "up", "2"), 1, "a lab already", "beam lab down")
        self.start_counting()
        self.ok("lab", "down")
        self.assertNotIn("lab", os.listdir(self.home))
        self.assert_fault(self.beam("lab", "down"), 4, "no lab", "beam lab up")
        self.assert_fault(self.beam("lab", "exec", "ws1", "--", "true"), 4, "no lab")

    def test_wrong_words(self):
        self.assert_fault(self.beam("lab", "exec", "ws9", "--", "true"), 4, "ws9", "beam lab ls")
        self.assert_fault(self.beam("lab", "sideways"), 2, "sideways")
        self.assert_fault(self.beam("lab", "up", "0"), 2)
        self.assert_fault(self.beam("lab", "exec", "ws1", "--", "no-such-command"), 127, "no-such-command")
        self.assert_fault(self.at(1, "migrate", "job", "ws2"), 4, "job: no such sandbox")
        self.assert_fault(self.at(1, "migrate", "job"), 2)

    def test_a_command_has_its_own_status(self):
        self.assertEqual(self.beam("lab", "exec", "ws1", "--", "sh", "-c", "exit 9").returncode, 9)
        self.assertEqual(self.ok("lab", "exec", "ws2", "--", "sh", "-c", "echo $BEAM_WORKSTATION"), "ws2\n")

    def test_a_daemon_without_a_cluster(self):
        done = subprocess.run([os.path.join(os.path.dirname(cli.BEAM), "beamd")], env=self.env, capture_output=True, text=True,
                              timeout=cli.DEADLINE, check=False)
        self.assert_fault(done, 1, "belongs to no cluster", "beam lab up")

    def test_a_daemon_that_is_gone(self):
        self.start_counting()
        with open(os.path.join(self.home_of(2), "beamd.lock"), encoding="utf-8") as file:
            cli.kill_and_wait(int(file.read().split()[0]))
        self.assertEqual([row["state"] for row in json.loads(self.ok("ws", "--json"))], ["up", "down", "up"])
        self.assert_fault(self.at(1, "migrate", "job", "ws2"), 1, "ws2", "beamd")
        self.counts_on(1)


class Strangers(Lab):
    """Who has no key of the cluster learns and changes nothing, and who breaks the protocol ends but a connection."""
    LOAD_REQUEST = 139  # runtime/messages.h

    def address(self, number):
        with open(os.path.join(self.home_of(number), "cluster", "workstations.json"), encoding="utf-8") as file:
            host, port = json.load(file)["workstations"][number - 1]["address"].rsplit(":", 1)
        return host, int(port)

    def hears(self, connection, data):
        """All that comes back."""
        heard = b""
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                heard += part
        except (OSError, ssl.SSLError):
            pass
        connection.close()
        return heard

    def tls(self, home):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if home:
            context.load_cert_chain(*(os.path.join(home, "cluster", leaf) for leaf in ("certificate.pem", "key.pem")))
        return context.wrap_socket(socket.create_connection(self.address(1), 30))

    @staticmethod
    def frame(kind, payload, version=5):
        return struct.pack("<IHHII", 0x4D414542, version, kind, len(payload), 0) + payload

    def test_without_a_key(self):
        chance = random.Random(5)
        load = self.frame(self.LOAD_REQUEST, b"")
        self.assertGreater(len(self.hears(self.tls(self.home_of(2)), load)), 16)  # whoever has one is answered
        other = os.path.join(self.dir, "other")
        os.mkdir(other, 0o700)
        self.ok("lab", "up", "1", env=dict(self.env, BEAM_HOME=other))
        self.addCleanup(lambda: self.ok("lab", "down", env=dict(self.env, BEAM_HOME=other)))
        for home in (None, os.path.join(other, "lab", "ws1")):
            self.assertEqual(self.hears(self.tls(home), load), b"")
        for _ in range(50):
            heard = self.hears(socket.create_connection(self.address(1), 30), load + chance.randbytes(chance.randrange(3000)))
            self.assertLess(len(heard), 16)  # an alert of TLS at most
        self.assertEqual([row["state"] for row in json.loads(self.ok("ws", "--json"))], ["up"] * 3)

    def test_broken_frames(self):
        self.start_counting()
        chance = random.Random(6)
        for kind in range(self.LOAD_REQUEST - 12, self.LOAD_REQUEST + 12):
            for size in (0, 1, 7, 300):
                connection = self.tls(self.home_of(2))
                connection.settimeout(30)
                connection.sendall(self.frame(kind, chance.randbytes(size)) + chance.randbytes(20))
                connection.close()
        for data in (self.frame(self.LOAD_REQUEST, b"", version=1), struct.pack("<IHHII", 0x4D414542, 5, 128, 1 << 31, 0),
                     chance.randbytes(1000)):
            self.assertEqual(self.hears(self.tls(self.home_of(2)), data), b"")
        self.assertEqual([row["state"] for row in json.loads(self.ok("ws", "--json"))], ["up"] * 3)
        self.assertEqual(self.here(1), {"job": "running"})
        self.counts_on(1)


class Migrate(Lab):
    def test_detached_about_all_of_them(self):
        self.start_counting()
        at = 1
        for target in (2, 3, 1, 3, 2):
            self.assertEqual(self.ok_at(at, "migrate", "job", f"ws{target}"), "")
            self.assertEqual([number for number in (1, 2, 3) if "job" in self.here(number)], [target])
            at = target
            self.counts_on(at)

    def test_from_elsewhere(self):
        """Verbs reach a sandbox from every workstation."""
        self.start_counting()
        self.ok_at(3, "migrate", "job", "ws2")
        self.assertIn("job", self.here(2))
        self.assertEqual(self.ok_at(1, "exec", "job", "--", "sh", "-c", "cat; exit 0", input="in and out"), "in and out")
        self.assertEqual(self.at(1, "exec", "job", "--", "sh", "-c", "exit 5").returncode, 5)
        self.assertEqual(json.loads(self.ok_at(1, "check", "job", "--json"))["freezable"], True)
        self.ok_at(1, "freeze", "--keep-running", "job", "-o", "beside")  # a path is meant as here
        self.ok("verify", os.path.join(self.work, "beside"))
        wait = self.popen_at(3, "wait", "job")
        self.ok_at(1, "kill", "-s", "USR1", "job")
        self.assertEqual(wait.wait(cli.DEADLINE), 128 + signal.SIGUSR1)
        self.ok_at(1, "rm", "job")
        self.assertEqual(self.here(2), {})

    def test_streams_follow(self):
        run = self.popen_at(1, "run", "--name", "job", "--", "sh", "-c", ECHO, stdin=subprocess.PIPE)
        self.assertEqual(run.stdout.readline(), "up\n")
        at = 1
        for target in (2, 3, 1):
            self.ok_at(at, "migrate", "job", f"ws{target}")
            at = target
            run.stdin.write(f"word {at}\n")
            run.stdin.flush()
            self.assertEqual(run.stdout.readline(), f"got word {at}\n")
        run.stdin.close()
        self.assertEqual((run.wait(cli.DEADLINE), run.stdout.read(), run.stderr.read()), (7, "", "end\n"))

    def test_no_byte_is_lost(self):
        """A stream in full flow, both ways."""
        lines = "".join(f"{i:060d}\n" for i in range(60000))
        run = self.popen_at(1, "run", "--name", "job", "--", "sh", "-c", "cat; exit 3", stdin=subprocess.PIPE)

        def write():
            run.stdin.write(lines)
            run.stdin.close()

        writer = threading.Thread(target=write)
        writer.start()
        # All that is on the way is full from here on: nobody reads before it has moved.
        first = run.stdout.readline()
        self.ok_at(1, "migrate", "job", "ws2")
        rest = run.stdout.read()
        writer.join()
        self.assertEqual((run.wait(cli.DEADLINE), run.stderr.read(), first + rest == lines), (3, "", True))

    def test_a_reader_that_goes_away(self):
        run = self.popen_at(1, "run", "--name", "job", "--", "sh", "-c", "echo up; read a; yes")
        self.assertEqual(run.stdout.readline(), "up\n")
        self.reap(run)
        run = self.popen_at(1, "run", "--name", "more", "--", "sh", "-c", "echo up; read a; yes", stdin=subprocess.PIPE)
        self.assertEqual(run.stdout.readline(), "up\n")
        self.ok_at(1, "migrate", "more", "ws3")
        run.stdout.close()
        run.stdin.write("go\n")
        run.stdin.flush()
        self.assertEqual(run.wait(cli.DEADLINE), 128 + signal.SIGPIPE)

    def test_frozen_there(self):
        run = self.popen_at(1, "run", "--name", "job", "--", "sh", "-c", ECHO, stdin=subprocess.PIPE)
        self.assertEqual(run.stdout.readline(), "up\n")
        self.ok_at(1, "migrate", "job", "ws2")
        image = os.path.join(self.work, "image")
        self.ok_at(2, "freeze", "job", "-o", image)
        self.assertEqual(run.wait(cli.DEADLINE), 85)
        self.assertIn(f"job frozen to {image}", run.stderr.read())
        done = self.at(3, "thaw", image, input="again\n")
        self.assertEqual((done.returncode, done.stdout), (7, "got again\n"))

    def test_terminal_follows(self):
        terminal = self.beam_on_terminal("lab", "exec", "ws1", "--", "beam", "run", "--name", "job", "--env", "PS1=inner$ ",
                                         "--", "bash", "--norc", "--noprofile", "-i")
        terminal.expect(r"inner\$ ")
        terminal.send("a=first; stty size; tty\r")
        terminal.expect(r"24 80\r\n/dev/pts/\d+\r\n.*inner\$ ")
        at = 1
        for target in (2, 3):
            self.ok_at(at, "migrate", "job", f"ws{target}")
            at = target
            terminal.resize(30 + at, 100)
            os.kill(terminal.process.pid, signal.SIGWINCH)
            terminal.send("echo $a; stty size\r")
            terminal.expect(r"\rfirst\r\n")
            terminal.expect(rf"{30 + at} 100\r\n.*inner\$ ")
            # Job control: the shell has put it in the foreground once it says so.
            terminal.send("sh -c 'echo re\"\"ady; exec sleep 1000'\r")
            terminal.expect(r"[\r\n]ready\r\n")
            terminal.send("\x03")
            terminal.expect(r"\^C\r\n.*inner\$ ")
        terminal.send("exit 6\r")
        self.assertEqual(terminal.wait(), 6)

    def test_pre_copy(self):
        self.ok_at(1, "run", "-d", "--name", "job", "--", "python3", "-c", CHURN)
        at = 1
        for target in (2, 1, 3):
            before = len(self.log(at))
            self.wait_until(lambda: len(self.log(at)) > before + 2, "job churns")
            self.ok_at(at, "migrate", "--pre-copy", "job", f"ws{target}")
            at = target
        before = len(self.log(at))
        self.wait_until(lambda: len(self.log(at)) > before + 2, "job churns on")
        self.assertEqual(set(self.log(at)), {"same"})
        for number in (1, 2, 3):
            for leaf in ("incoming", "outgoing"):
                directory = os.path.join(self.home_of(number), leaf)
                self.assertEqual(os.listdir(directory) if os.path.isdir(directory) else [], [])

    def test_moves_under_way(self):
        """Streams within the sandbox in full flow, at whatever moment."""
        self.ok_at(1, "run", "-d", "--name", "job", "--", "python3", "-c", FLOW)
        chance = random.Random(17)
        at = 1
        for _ in range(20):
            target = chance.choice([number for number in (1, 2, 3) if number != at])
            self.ok_at(at, "migrate", *chance.choice(([], ["--pre-copy"])), "job", f"ws{target}")
            at = target
        before = len(self.log(at))
        self.wait_until(lambda: len(self.log(at)) > before + 4, "job goes on")
        for name in ("tcp", "unix"):
            counts = [int(line.split()[1]) for line in self.log(at) if line.startswith(name)]
            self.assertEqual(counts, list(range(100, 100 * len(counts) + 1, 100)))

    def test_where_it_can_not_go(self):
        self.start_counting()
        self.assert_fault(self.at(1, "migrate", "job", "ws9"), 4, "ws9", "beam ws")
        self.assert_fault(self.at(1, "migrate", "job", "ws1"), 1, "ws1 already")
        self.start_counting(2)
        self.assert_fault(self.at(1, "migrate", "job", "ws2"), 1, "the name is in use on ws2")
        self.counts_on(1)
        self.counts_on(2)
        self.ok("lab", "exec", "ws3", "--", "beam", "run", "-d", "--name", "odd", "--", "python3", "-c",
                "import os, time; fd = os.memfd_create('x', 4); print('up', flush=True); time.sleep(1000)")
        self.wait_until(lambda: self.log(3, "odd") == ["up"], "odd runs")
        refused = self.at(3, "migrate", "odd", "ws1")
        self.assertEqual((refused.returncode, refused.stdout), (3, ""))
        self.assertRegex(refused.stderr, r"\Abeam: odd:\d+: [^\n]+\n\Z")
        self.assertEqual(self.here(3), {"odd": "running"})

    def test_one_that_ends_meanwhile(self):
        for _ in range(8):
            run = self.popen_at(1, "run", "--name", "job", "--rm", "--", "sh", "-c", "echo up; read a; echo done; exit 4",
                                stdin=subprocess.PIPE)
            self.assertEqual(run.stdout.readline(), "up\n")
            move = self.popen_at(1, "migrate", "job", "ws2")
            run.stdin.write("end\n")
            run.stdin.flush()
            self.assertEqual((run.wait(cli.DEADLINE), run.stdout.read()), (4, "done\n"))
            self.assertIn(move.wait(cli.DEADLINE), (0, 1, 4))


class Faults(Lab):
    workstations = 2

    def setUp(self):  # each case has daemons with a fault of its own
        cli.Case.setUp(self)
        self.addCleanup(self.down)

    def test_at_the_workstation_that_it_leaves(self):
        self.up()
        for fault, stays in (("move.transfer", True), ("move.ready", True), ("freeze.quiesced", True),
                             ("freeze.written", True), ("move.decided", False)):
            with self.subTest(fault=fault):
                self.start_counting(1, {"BEAM_FAULT": fault})
                moved = self.at(1, "migrate", "job", "ws2")
                self.assertEqual(moved.returncode, 1, moved.stderr)
                where = 1 if stays else 2
                self.wait_until(lambda: self.here(where) == {"job": "running"}, f"runs at ws{where}")
                self.assertEqual(self.here(3 - where), {})
                self.counts_on(where)
                self.ok_at(where, "rm", "-f", "job")

    def test_at_the_workstation_that_it_goes_to(self):
        for fault in ("move.received", "move.held", "thaw.loaded", "thaw.filled", "move.received:1:kill", "move.held:1:kill"):
            with self.subTest(fault=fault):
                self.up(BEAM_FAULT=fault)
                self.start_counting()
                self.assertEqual(self.at(1, "migrate", "job", "ws2").returncode, 1)
                self.counts_on(1)
                self.assertEqual(self.here(2), {})
                # Nothing of the first attempt is in the way of another, which meets the same fault.
                again = self.at(1, "migrate", "job", "ws2")
                self.assertEqual(again.returncode, 1)
                if "kill" not in fault:  # then who is killed can't wait for what it has started
                    self.assertNotIn("in use", again.stderr)
                self.wait_until(lambda: not os.listdir(os.path.join(self.home_of(2), "sandboxes")), "nothing is left at ws2")
                self.counts_on(1)
                self.ok("lab", "down")

    def test_a_supervisor_killed_once_the_other_side_is_ready(self):
        for fault in ("move.ready:1:kill", "move.decided:1:kill"):
            with self.subTest(fault=fault):
                self.up()
                self.start_counting(1, {"BEAM_FAULT": fault})
                self.assertEqual(self.at(1, "migrate", "job", "ws2").returncode, 1)
                self.wait_until(lambda: self.here(2) == {"job": "running"}, "runs at ws2")
                self.counts_on(2)
                self.ok("lab", "down")

    def test_a_supervisor_killed_before_leaves_an_image(self):
        self.up()
        self.start_counting(1, {"BEAM_FAULT": "move.transfer:1:kill"})
        self.assertEqual(self.at(1, "migrate", "job", "ws2").returncode, 1)
        self.assertEqual((self.here(1), self.here(2)), ({"job": "frozen"}, {}))
        waited = self.at(1, "wait", "job")
        self.assertEqual(waited.returncode, 85)
        image = waited.stderr.split(" frozen to ")[1].strip()
        self.ok_at(1, "thaw", "-d", image)
        before = len(self.log(1))
        self.wait_until(lambda: len(self.log(1)) > before + 3, "goes on")

    def test_the_other_side_killed_once_it_was_decided(self):
        self.up(BEAM_FAULT="move.committed")
        self.start_counting()
        moved = self.at(1, "migrate", "job", "ws2")
        self.assertEqual(moved.returncode, 1)
        self.assertIn("beam ps -a", moved.stderr)
        self.wait_until(lambda: self.here(2) == {"job": "frozen"}, "an image is left")
        self.assertEqual(self.here(1), {})
        image = self.at(2, "wait", "job").stderr.split(" frozen to ")[1].strip()
        self.ok_at(2, "thaw", "-d", image)
        self.counts_on_from(2)

    def counts_on_from(self, number):
        before = len(self.log(number))
        self.wait_until(lambda: len(self.log(number)) > before + 3, "goes on")


if __name__ == "__main__":
    cli.main()
