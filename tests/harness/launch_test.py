#!/usr/bin/python3
"""Proves what tests/harness/launch promises to every other test. Root's part needs root; ctest runs this file as both."""

import os
import subprocess
import sys
import unittest

LAUNCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch")
ROOT = os.geteuid() == 0


class LaunchTest(unittest.TestCase):
    def launch(self, *words, options=(), env=None):
        return subprocess.run([LAUNCH, *options, "--", *words], capture_output=True, text=True, check=False,
                              env={**os.environ, **(env or {})})

    def output(self, script, options=(), env=None):
        done = self.launch("sh", "-c", script, options=options, env=env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_exit_statuses(self):
        self.assertEqual(self.launch("true").returncode, 0)
        self.assertEqual(self.launch("sh", "-c", "exit 3").returncode, 3)
        self.assertEqual(self.launch("sh", "-c", "kill -TERM $$").returncode, 128 + 15)

    def test_runs_as_an_ordinary_user_without_capabilities(self):
        self.assertNotEqual(self.output("id -u; id -ru"), ["0", "0"])
        sets = dict(line.split(":\t") for line in
                    self.launch("cat", "/proc/self/status").stdout.splitlines() if line.startswith(("Cap", "NoNew")))
        self.assertEqual(int(sets["CapEff"], 16) | int(sets["CapPrm"], 16) | int(sets["CapInh"], 16), 0)
        if ROOT:
            self.assertEqual((int(sets["CapBnd"], 16), sets["NoNewPrivs"]), (0, "1"))

    def test_surroundings_are_private_and_gone_afterwards(self):
        home, run, tmp = self.output('echo "$HOME" "$XDG_RUNTIME_DIR" "$TMPDIR"; touch "$HOME/a" "$TMPDIR/b"')
        self.assertEqual(os.path.dirname(home), os.path.dirname(run))
        self.assertNotEqual(self.output('echo "$HOME"'), [home])
        self.assertFalse(os.path.exists(os.path.dirname(tmp)))

    def test_environment_is_fixed(self):
        env = {"LD_LIBRARY_PATH": "/nowhere", "MAKEFLAGS": "-j7", "BEAM_FAULT": "x:1"}
        names = self.output("env | cut -d= -f1", options=["--env", "OWN=1"], env=env)
        self.assertIn("BEAM_FAULT", names)
        self.assertIn("OWN", names)
        self.assertNotIn("LD_LIBRARY_PATH", names)
        self.assertNotIn("MAKEFLAGS", names)

    def test_stdin_is_empty(self):
        self.assertEqual(self.output("cat; readlink /proc/self/fd/0"), ["/dev/null"])

    def test_an_orphan_that_ends_is_waited_for(self):
        # The orphan blocks on a FIFO that only a second orphan opens, after the test's own command has ended.
        script = 'cd "$TMPDIR"; mkfifo f; (read x <f; echo $x) & (tail -f --pid=$$ /dev/null; echo late >f) &'
        done = self.launch("sh", "-c", script)
        self.assertEqual((done.returncode, done.stdout), (0, "late\n"))

    def test_orphans_are_reaped_while_the_test_runs(self):
        # The inner shell's child outlives it and becomes the launcher's; once it has ended, its pid must go.
        script = """
            orphan=$(sh -c 'sh -c "exec >&-; read x <$TMPDIR/f" & echo $!')
            echo go >$TMPDIR/f
            tail -f --pid=$orphan /dev/null
            while [ -e /proc/$orphan ]; do :; done
            echo gone"""
        done = self.launch("sh", "-c", 'mkfifo "$TMPDIR/f"; ' + script)
        self.assertEqual((done.returncode, done.stdout), (0, "gone\n"))

    def test_a_process_left_behind_fails_the_test(self):
        # The wait is what is tested, so it is shortened for this one.
        with open(LAUNCH, encoding="utf-8") as file:
            program = file.read().replace("LINGER_SECONDS = 20", "LINGER_SECONDS = 1")
        done = subprocess.run([sys.executable, "-c", program, "--", "sh", "-c", "setsid sleep 1000 & echo $!"],
                              capture_output=True, text=True, check=False)
        pid = done.stdout.strip()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"left this behind: pid {pid}: sleep 1000", done.stderr)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_root_part(self):
        done = self.launch("id", "-u", options=["--as-root"])
        if ROOT:
            self.assertEqual((done.returncode, done.stdout), (0, "0\n"))
        else:
            self.assertEqual(done.returncode, 77)
            self.assertIn("skipped", done.stdout)


if __name__ == "__main__":
    unittest.main()
