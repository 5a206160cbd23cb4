#!/usr/bin/python3
"""Man pages: one for each verb, with nothing that groff warns of: usage: man_test.py GENERATED-FOLDER"""

import os
import subprocess
import sys
import unittest

import gen


class ManTest(unittest.TestCase):
    folder = ""

    def groff(self, name):
        return subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-P-cbou", os.path.join(self.folder, "man", name)],
                              capture_output=True, text=True, check=True)

    def test_there_is_one_for_beam_and_each_verb(self):
        expected = {"beam.1"} | {f"beam-{verb['name']}.1" for verb in gen.load()["verb"]}
        self.assertEqual(set(os.listdir(os.path.join(self.folder, "man"))), expected)

    def test_groff_has_nothing_to_say(self):
        for name in os.listdir(os.path.join(self.folder, "man")):
            with self.subTest(page=name):
                self.assertEqual(self.groff(name).stderr, "")

    def test_no_mark_of_the_source_is_left(self):
        for name in os.listdir(os.path.join(self.folder, "man")):
            with self.subTest(page=name):
                words = [line for line in self.groff(name).stdout.splitlines() if "{" in line or "*" in line]
                # JSON stands as it is.
                self.assertEqual([line for line in words if not line.strip().startswith("{")], [])

    def test_every_option_is_there(self):
        for verb in gen.load()["verb"]:
            text = self.groff(f"beam-{verb['name']}.1").stdout
            for entry in verb["option"]:
                for flag in entry["flags"]:
                    self.assertIn(flag, text)


if __name__ == "__main__":
    ManTest.folder = sys.argv.pop(1)
    unittest.main()
