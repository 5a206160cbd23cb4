"""Drives the program `beam` as a user or a script does: by its command line, its streams, its exit status, a terminal.

Each test has a home and a runtime directory of its own (Case), and nothing that it started may be left when it ends.
Nothing here sleeps for something to happen: every wait is for bytes, for an exit or for a record, with DEADLINE seconds.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

DEADLINE = 60  # seconds; only a fault takes so long

BEAM = None  # the program under test, set by main()


class Case(unittest.TestCase):
    """A test with an empty BEAM_HOME and XDG_RUNTIME_DIR."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="cli-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        self.home = os.path.join(self.dir, "home")
        self.runtime = os.path.join(self.dir, "run")
        self.work = os.path.join(self.dir, "work")
        for path in (self.home, self.runtime, self.work):
            os.mkdir(path, 0o700)
        self.env = dict(os.environ, BEAM_HOME=self.home, XDG_RUNTIME_DIR=self.runtime)
        self.addCleanup(self.end_all)

    def end_all(self):
        for name in os.listdir(os.path.join(self.home, "sandboxes")) if os.path.isdir(
                os.path.join(self.home, "sandboxes")) else []:
            if not name.startswith("."):
                self.beam("rm", "-f", name)

    def beam(self, *words, **options):
        """Runs `beam WORDS...` to its end; stdin is empty unless `input` is given."""
        options.setdefault("input", "")
        options.setdefault("env", self.env)
        options.setdefault("cwd", self.work)
        return subprocess.run([BEAM, *words], capture_output=True, text=True, timeout=DEADLINE, check=False, **options)

    def popen(self, *words, **options):
        options.setdefault("env", self.env)
        options.setdefault("cwd", self.work)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        process = subprocess.Popen([BEAM, *words], text=True, **options)
        self.addCleanup(self.reap, process)
        return process

    @staticmethod
    def reap(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def ok(self, *words, **options):
        """The same, and it must succeed; returns stdout."""
        result = self.beam(*words, **options)
        self.assertEqual(result.returncode, 0, f"beam {words}: {result.stderr}")
        return result.stdout

    def detached(self, *command, name="box", options=()):
        self.ok("run", "-d", "--name", name, *options, "--", *command)
        return name

    def ps(self, *options):
        return {entry["name"]: entry for entry in json.loads(self.ok("ps", "--json", *options))}

    def assert_fault(self, result, status, *parts, stdout=""):
        """Beam's own failure: this status, one line on stderr that holds `parts`, nothing on stdout."""
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, r"\Abeam: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)
        self.assertEqual(result.stdout, stdout)

    def wait_for_log(self, text, name="box"):
        """Until the log of a sandbox has it."""
        logs = self.popen("logs", "-f", name)
        seen = ""
        while text not in seen:
            line = logs.stdout.readline()
            self.assertNotEqual(line, "", f"no {text!r} in the log of {name}: {seen}")
            seen += line

    def wait_until(self, condition, what):
        """For what nobody tells of: asks again until it holds."""
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end:
                self.fail(what)

    def record(self, name):
        with open(os.path.join(self.home, "sandboxes", name, "sandbox.json"), encoding="utf-8") as file:
            return json.load(file)

    def terminal(self, *command, **options):
        terminal = Terminal(command, env=self.env, cwd=self.work, **options)
        self.addCleanup(terminal.close)
        return terminal

    def beam_on_terminal(self, *words, **options):
        return self.terminal(BEAM, *words, **options)

    def shell_on_terminal(self, **options):
        """An interactive shell with job control; `beam` is the program under test."""
        bin_dir = os.path.join(self.dir, "bin")
        os.makedirs(bin_dir, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(BEAM, os.path.join(bin_dir, "beam"))
        self.env["PATH"] = bin_dir + ":" + os.environ["PATH"]
        self.env["PS1"] = "outer$ "
        self.env["TERM"] = "dumb"
        shell = self.terminal("/bin/bash", "--norc", "--noprofile", "-i", **options)
        shell.expect(r"outer\$ ")
        return shell


class Terminal:
    """A terminal with a program on it; what the program printed so far is in `seen`."""

    def __init__(self, command, env, cwd, rows=24, columns=80):
        self.seen = ""
        self.at = 0  # everything before was matched already
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(slave)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave  # kept, so that modes can be asked after the end

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes_now(self):
        return termios.tcgetattr(self.slave)

    def send(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Waits until `pattern` shows behind what was expected before; returns the match."""
        end = time.monotonic() + DEADLINE
        while True:
            match = re.compile(pattern).search(self.seen, self.at)
            if match:
                self.at = match.end()
                return match
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r} on the terminal; it shows {self.seen[self.at:]!r}")
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            except OSError as fault:  # EIO: the program and all others have closed the terminal
                raise AssertionError(f"no {pattern!r} before the end; it shows {self.seen[self.at:]!r}") from fault

    def wait(self):
        """To the program's end; what it still prints is read meanwhile. Returns the exit status."""
        end = time.monotonic() + DEADLINE
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while True:
                ready, _, _ = select.select([self.master, pidfd], [], [], max(0, end - time.monotonic()))
                if self.master in ready:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                elif pidfd in ready:
                    return self.process.wait()
                else:
                    raise AssertionError(f"no end of the program; it shows {self.seen[self.at:]!r}")
        finally:
            os.close(pidfd)

    def rest(self):
        return self.seen[self.at:]

    def hang_up(self):
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.slave, self.master):
            if fd >= 0:
                os.close(fd)


def wait_for_exit(pid):
    """Until the process has gone or is a zombie."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([pidfd], [], [], DEADLINE)[0]:
            raise AssertionError(f"process {pid} lives on")
    finally:
        os.close(pidfd)


def kill_and_wait(pid):
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not select.select([pidfd], [], [], DEADLINE)[0]:
            raise AssertionError(f"process {pid} lives on")
    finally:
        os.close(pidfd)


def main():
    global BEAM
    BEAM = os.path.realpath(sys.argv.pop(1))
    unittest.main(module="__main__", verbosity=2)
