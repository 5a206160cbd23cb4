#!/usr/bin/python3
"""Completions, asked of the shells themselves: usage: completions_test.py GENERATED-FOLDER

The `beam` that they ask for names is a script here that prints what `beam ps --json` is specified to print, for sandboxes
that need not exist: the subject is the shells' side.
"""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import unittest

import gen

PS = """#!/bin/sh
case "$*" in
  'ps --json') echo '[{"name": "web", "state": "running", "command": "echo \\\\"name\\\\": \\\\"trap\\\\""},{"name":"worker"}]' ;;
  'ws --json') echo '[{"name": "ws1"}, {"name": "ws2"}]' ;;
  'ps -a --json') echo '[{"name": "web"}, {"name": "worker"}, {"name": "done-1"}]' ;;
  *) exit 2 ;;
esac
"""

BASH = """
source {folder}/completions/beam.bash
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_beam
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

ZSH_RC = """
PS1='ready> '
fpath=({folder}/completions $fpath)
autoload -Uz compinit && compinit -D
zstyle ':completion:*' list-prompt ''
zstyle ':completion:*' format ''
unsetopt menu_complete auto_menu always_last_prompt
setopt no_beep list_rows_first
LISTMAX=0 COLUMNS=200
"""


class CompletionsTest(unittest.TestCase):
    folder = ""

    @classmethod
    def setUpClass(cls):
        cls.dir = os.environ["TMPDIR"]
        cls.bin = os.path.join(cls.dir, "bin")
        os.mkdir(cls.bin)
        with open(os.path.join(cls.bin, "beam"), "w", encoding="utf-8") as file:
            file.write(PS)
        os.chmod(file.name, 0o755)
        os.makedirs(os.path.join(cls.dir, "home", "images", "web-20300101"))
        os.makedirs(os.path.join(cls.dir, "here", "web-image"))
        cls.env = {**os.environ, "PATH": cls.bin + ":" + os.environ["PATH"], "BEAM_HOME": os.path.join(cls.dir, "home"),
                   "HOME": cls.dir, "ZDOTDIR": cls.dir, "TERM": "dumb"}
        with open(os.path.join(cls.dir, ".zshrc"), "w", encoding="utf-8") as file:
            file.write(ZSH_RC.format(folder=cls.folder))

    def shell(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.env, timeout=60,
                              cwd=os.path.join(self.dir, "here"))
        self.assertEqual(done.stderr, "")
        return done.stdout

    def bash(self, line):
        words = line.split(" ")
        quoted = " ".join("'" + word + "'" for word in words)
        return set(self.shell("bash", "--norc", "-c", BASH.format(folder=self.folder, words=quoted)).split())

    def fish(self, line):
        source = f"source {self.folder}/completions/beam.fish; complete -C '{line}'"
        return {row.split("\t")[0] for row in self.shell("fish", "--no-config", "-c", source).splitlines()}

    def zsh(self, line):
        """Types the line and Tab into an interactive zsh and reads what it lists or fills in."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(os.path.join(self.dir, "here"))
            os.execvpe("zsh", ["zsh", "-i"], self.env)
        seen = ""

        def read_until(pattern):
            nonlocal seen
            deadline = time.monotonic() + 60
            while not re.search(pattern, seen):
                ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
                self.assertTrue(ready, f"zsh never showed {pattern!r}: {seen!r}")
                seen += os.read(terminal, 65536).decode(errors="replace")

        try:
            read_until("ready> ")
            seen = ""
            os.write(terminal, (line + "\x04").encode())  # ^D within a line lists what could follow
            os.write(terminal, b"\x15echo end-of-\"list\"\n")  # ^U empties the line again
            read_until(r"end-of-list\r")
        finally:
            os.close(terminal)
            os.waitpid(child, 0)
        shown = seen[:seen.rindex("echo end-of-")].replace("ready> ", "").replace(line.rstrip(), "")
        return set(re.findall(r"[^\s]+", shown))

    def assert_completes(self, shells, line, expected, unexpected=()):
        for shell in shells:
            with self.subTest(shell=shell, line=line):
                got = getattr(self, shell)(line)
                self.assertLessEqual(set(expected), got)
                self.assertFalse(set(unexpected) & got, got)

    ALL = ("bash", "zsh", "fish")

    def test_every_verb(self):
        verbs = {verb["name"] for verb in gen.load()["verb"]}
        self.assert_completes(self.ALL, "beam ", verbs)

    def test_every_option_of_every_verb(self):
        for verb in gen.load()["verb"]:
            long = {flag for entry in verb["option"] for flag in entry["flags"] if flag.startswith("--")}
            self.assert_completes(("bash", "fish"), f"beam {verb['name']} --", long | {"--help"})
        self.assert_completes(("zsh",), "beam run --", {"--name", "--workdir", "--trace-file", "--help"})

    def test_names_of_running_sandboxes(self):
        for verb in ("exec", "tree", "attach", "kill", "check", "freeze"):
            self.assert_completes(("bash", "fish"), f"beam {verb} ", {"web", "worker"}, {"done-1", "trap", "x"})
        self.assert_completes(("zsh",), "beam freeze w", {"web", "worker"}, {"done-1", "trap"})

    def test_names_of_ended_sandboxes_too(self):
        for verb in ("logs", "wait", "rm"):
            self.assert_completes(("bash", "fish"), f"beam {verb} ", {"web", "worker", "done-1"}, {"trap"})
        self.assert_completes(self.ALL, "beam rm web ", {"web", "worker", "done-1"})

    def test_one_name_is_enough_where_one_is_taken(self):
        self.assert_completes(self.ALL, "beam tree web ", set(), {"web", "worker"})

    def test_options_before_the_name(self):
        self.assert_completes(self.ALL, "beam -v kill -s HUP w", {"web", "worker"})
        self.assert_completes(self.ALL, "beam kill -s ", {"HUP", "TERM"}, {"web"})
        self.assert_completes(self.ALL, "beam freeze --compress ", {"zstd", "none"}, {"web"})

    def test_workstations(self):
        self.assert_completes(("bash", "fish"), "beam migrate web ", {"ws1", "ws2"}, {"web"})
        self.assert_completes(("zsh",), "beam migrate web w", {"ws1", "ws2"})

    def test_verbs_of_the_lab(self):
        self.assert_completes(self.ALL, "beam lab ", {"up", "down", "ls", "exec"})

    def test_images(self):
        stored = os.path.join(self.dir, "home", "images", "web-20300101")
        self.assertIn("web-image", self.bash("beam show w"))
        self.assertIn(stored, self.bash("beam show w"))
        self.assertIn("web-image/", self.fish("beam thaw w"))
        self.assertIn(stored + "/", self.fish("beam thaw "))
        self.assert_completes(("zsh",), "beam show ", {"web-image/", stored})

    def test_commands(self):
        self.assert_completes(("bash", "fish"), "beam run --name x setpri", {"setpriv"})
        self.assert_completes(("bash", "fish"), "beam exec web setpri", {"setpriv"})
        self.assert_completes(("bash",), "beam run ls web-im", {"web-image"})
        self.assert_completes(("fish",), "beam run ls web-im", {"web-image/"})


if __name__ == "__main__":
    CompletionsTest.folder = os.path.abspath(sys.argv.pop(1))
    for shell in ("bash", "zsh", "fish", "grep"):
        if not shutil.which(shell):
            print(f"skipped: {shell} is not installed; `make deps` installs it")
            sys.exit(77)
    unittest.main()
