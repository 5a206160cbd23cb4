"""Terminals over freeze and thaw: modes, size, unread input, foreground group, control of jobs."""

import os
import termios

import cli


class Terminals(cli.Case):
    def image(self, leaf="image"):
        return os.path.join(self.work, leaf)

    def freeze_under(self, terminal, name="box", leaf="image"):
        """Freezes the sandbox that `terminal` shows; what was run there ends."""
        self.ok("freeze", name, "-o", self.image(leaf))
        self.assertEqual(terminal.wait(), 85)
        self.assertIn(f"beam: {name} frozen to {self.image(leaf)}", terminal.seen)
        self.assertEqual(terminal.modes_now(), terminal.modes)
        return self.image(leaf)

    def wait_for_raw(self, terminal):
        """Until what is typed goes to the sandbox as it is."""
        while terminal.modes_now()[3] & termios.ICANON:
            pass

    def test_input_of_which_a_part_has_been_read(self):
        os.mkfifo(os.path.join(self.work, "go"))
        first = self.beam_on_terminal("run", "--name", "box", "sh", "-c",
                                      'read a; echo "got $a"; read g <go; read b; echo "got $b"; read c; echo "got $c"; exit 4')
        first.send("one\n")
        first.expect("got one\r\n")
        # A line that nobody has read, and a half one. Their echo says that they have arrived.
        first.send("two\nthr")
        first.expect("two\r\nthr")
        image = self.freeze_under(first)
        second = self.beam_on_terminal("thaw", image)
        with open(os.path.join(self.work, "go"), "w", encoding="ascii") as go:
            go.write("x\n")
        second.expect("got two\r\n")
        second.send("ee\n")
        second.expect("got three\r\n")
        self.assertEqual(second.wait(), 4)
        self.assertEqual(second.modes_now(), second.modes)

    def test_modes_and_the_size_of_the_new_terminal(self):
        program = ("import os, signal, sys, termios\n"
                   "m = termios.tcgetattr(0); m[3] &= ~(termios.ICANON | termios.ECHO); termios.tcsetattr(0, termios.TCSANOW, m); "
                   "m = termios.tcgetattr(0)\n"
                   # By write(2): a second signal may come while a handler prints, which a buffered stream does not stand.
                   "said = lambda *a: os.write(1, ('size %d %d modes %s\\n' % (*os.get_terminal_size(), termios.tcgetattr(0) == m)).encode())\n"
                   "signal.signal(signal.SIGWINCH, said); said()\n"
                   "while True:\n  key = os.read(0, 1); print('key', key, flush=True)\n  if key == b'q': sys.exit(3)\n")
        first = self.beam_on_terminal("run", "--name", "box", "/usr/bin/python3", "-c", program)
        first.expect("size 80 24 modes True")
        first.send("a")
        first.expect("key b'a'")
        image = self.freeze_under(first)
        second = self.beam_on_terminal("thaw", image, rows=50, columns=132)
        second.expect("size 132 50 modes True")
        second.send("b")
        second.expect("key b'b'")
        image = self.freeze_under(second, leaf="again")
        # At the same size it is told as well, so that it paints itself anew.
        third = self.beam_on_terminal("thaw", image, rows=50, columns=132)
        third.expect("size 132 50 modes True")
        third.send("q")
        self.assertEqual(third.wait(), 3)

    def test_a_shell_with_jobs(self):
        first = self.beam_on_terminal("run", "--name", "box", "--env", "PS1=inner$ ", "/bin/bash", "--norc", "--noprofile", "-i")
        first.expect(r"inner\$ ")
        first.send("sleep 1001 &\n")
        first.expect(r"inner\$ ")
        first.send("sleep 1000\n")
        first.expect("sleep 1000")
        while "sleep 1000" not in self.ok("tree", "box"):
            pass
        image = self.freeze_under(first)
        second = self.beam_on_terminal("thaw", image)
        self.wait_for_raw(second)
        second.send("\x1a")
        second.expect("Stopped +sleep 1000")
        second.expect(r"inner\$ ")
        second.send("jobs\n")
        second.expect("sleep 1001 &")
        second.expect(r"inner\$ ")
        second.send("kill %1 %2; wait; echo over\n")
        second.expect(r"[\r\n]over\r\n")
        second.expect(r"inner\$ ")
        second.send("tty </dev/tty >/dev/null && echo has a terminal\n")
        second.expect(r"[\r\n]has a terminal")
        second.send("exit 6\n")
        self.assertEqual(second.wait(), 6)

    def test_detached_with_a_terminal(self):
        self.ok("run", "-d", "-t", "--name", "box", "--", "sh", "-c", 'echo begun; read a; echo "got $a"; read b; exit 5')
        attached = self.beam_on_terminal("attach", "box")
        attached.expect("begun")
        image = self.freeze_under(attached)
        self.assertEqual(self.ok("thaw", "-d", image), "box\n")
        again = self.beam_on_terminal("attach", "box")
        again.expect("begun")
        again.send("word\n")
        again.expect("got word")
        again.send("\x10\x11")
        self.assertEqual(again.wait(), 0)
        again = self.beam_on_terminal("attach", "box")
        again.expect("got word")
        again.send("\n")
        self.assertEqual(again.wait(), 0)
        self.assertEqual(self.beam("wait", "box").returncode, 5)

    def test_a_terminal_of_exec(self):
        self.ok("run", "-d", "--name", "box", "--", "sleep", "1000")
        execed = self.beam_on_terminal("exec", "box", "/usr/bin/python3", "-c", "print('up'); input()")
        execed.expect("up")
        image = self.freeze_under(execed)
        self.ok("thaw", "-d", image)
        self.assertEqual(self.ps()["box"]["pids"], 3)
        self.ok("freeze", "box", "-o", self.image("again"))

    def test_without_a_terminal_at_the_thaw(self):
        first = self.beam_on_terminal("run", "--name", "box", "sh", "-c", 'echo begun; read a; echo "got $a"; tty >/dev/null; exit $?')
        first.expect("begun")
        image = self.freeze_under(first)
        result = self.beam("thaw", image, input="word\n")
        self.assertEqual(result.returncode, 0)
        self.assertIn("got word\n", result.stdout)

    def test_a_snapshot_changes_nothing_on_the_terminal(self):
        first = self.beam_on_terminal("run", "--name", "box", "sh", "-c", 'echo begun; read a; echo "got $a"')
        first.expect("begun")
        first.send("half")
        first.expect("half")
        self.ok("freeze", "--keep-running", "box", "-o", self.image())
        first.send(" line\n")
        first.expect(" line\r\ngot half line\r\n")
        self.assertEqual(first.wait(), 0)

    def test_ctrl_z_of_the_client(self):
        shell = self.shell_on_terminal()
        shell.send("beam run --name box sh -c 'echo up; read a; echo got $a; exit 9'\n")
        shell.expect("up\r\n")
        image = self.ok("freeze", "box").strip()
        shell.expect(r"outer\$ ")
        shell.send("echo status $?\n")
        shell.expect("status 85")
        shell.send(f"beam thaw {image}\n")
        while self.ps().get("box", {}).get("state") != "running":
            pass
        shell.send("\x1a")
        shell.expect("Stopped")
        shell.send("fg\n")
        shell.expect("beam thaw")
        shell.send("word\n")
        shell.expect("got word")
        shell.expect(r"outer\$ ")
        shell.send("echo status $?\n")
        shell.expect("status 9")


if __name__ == "__main__":
    cli.main()
