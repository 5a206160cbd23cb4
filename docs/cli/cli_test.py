#!/usr/bin/python3
"""Holds cli.toml, and so man pages and completions, against what beam itself says: usage: cli_test.py BEAM"""

import re
import subprocess
import sys
import unittest

import gen

OPTION_LINE = re.compile(r"^  +(-[^ ].*?)(?:  |$)")


class CliTest(unittest.TestCase):
    beam = ""
    cli = gen.load()

    def help(self, *words):
        done = subprocess.run([self.beam, *words, "--help"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout

    def verbs(self):
        return {line.split()[0] for line in self.help().split("Verbs:\n")[1].split("\n\n")[0].splitlines()}

    def test_every_verb_is_documented(self):
        self.assertLessEqual(self.verbs(), {verb["name"] for verb in self.cli["verb"]})

    def test_every_option_of_every_verb(self):
        for verb in self.cli["verb"]:
            if verb["name"] not in self.verbs():
                continue
            with self.subTest(verb=verb["name"]):
                said = set()
                for line in self.help(verb["name"]).splitlines():
                    match = OPTION_LINE.match(line)
                    if match:
                        said |= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", re.sub(r"[ {].*", "", match[1])))
                documented = {flag for entry in verb["option"] + self.cli["program"]["option"] for flag in entry["flags"]}
                self.assertEqual(said, documented)

    def test_a_verb_that_does_not_exist(self):
        done = subprocess.run([self.beam, "florp"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\Abeam: .*florp.*\n\Z")


if __name__ == "__main__":
    CliTest.beam = sys.argv.pop(1)
    unittest.main()
