#!/usr/bin/python3
"""Proves that includes.py sees what it is for: each case is a small tree with one include, allowed or not."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROW = ("base", "ns", "rootfs", "interpose", "migrate", "runtime")


class IncludesTest(unittest.TestCase):
    def check(self, path, line, more):
        """Status and output for a tree in which every folder has a thing.h, `path` holds one more line, and `more` is there."""
        with tempfile.TemporaryDirectory() as root:
            for folder in ROW + ("tests", "bench"):
                os.mkdir(os.path.join(root, folder))
                with open(os.path.join(root, folder, "thing.h"), "w", encoding="utf-8") as file:
                    file.write("#pragma once\n")
            for name, text in {path: line, **more}.items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "a", encoding="utf-8") as file:
                    file.write(text + "\n")
            done = subprocess.run([sys.executable, os.path.join(HERE, "includes.py"), root], capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.stderr, "")
            return done.returncode, done.stdout

    def assert_allowed(self, path, line, more=()):
        self.assertEqual(self.check(path, line, dict(more)), (0, ""))

    def assert_refused(self, path, line, reason):
        status, output = self.check(path, line, {})
        self.assertEqual(status, 1)
        self.assertIn(reason, output)
        self.assertTrue(output.startswith(path + ":"), output)

    def test_every_pair_of_folders(self):
        for at, folder in enumerate(ROW):
            for to, other in enumerate(ROW):
                with self.subTest(folder=folder, includes=other):
                    line = f'#include "{other}/thing.h"'
                    if to <= at:
                        self.assert_allowed(f"{folder}/deep/x.cc", line)
                    else:
                        self.assert_refused(f"{folder}/deep/x.cc", line, f"{folder}/ may not include {other}/")

    def test_tests_and_bench_see_all_and_are_seen_by_none(self):
        self.assert_allowed("tests/x.cc", '#include "runtime/thing.h"')
        self.assert_allowed("bench/x.cc", '#include "runtime/thing.h"')
        self.assert_allowed("ns/x_test.cc", '#include "tests/thing.h"')
        self.assert_refused("ns/x.cc", '#include "tests/thing.h"', "ns/ may not include tests/")
        self.assert_refused("runtime/x_test.cc", '#include "bench/thing.h"', "runtime/ may not include bench/")

    def test_a_spaced_include_is_seen(self):
        self.assert_refused("base/x.h", '#pragma once\n #  include  "runtime/thing.h"', "may not include")

    def test_one_way_to_name_a_project_header(self):
        self.assert_refused("ns/x.cc", '#include "thing.h"', "from the top of the tree")
        self.assert_refused("ns/x.cc", '#include "../base/thing.h"', "from the top of the tree")
        self.assert_refused("ns/x.cc", "#include <base/thing.h>", "is a project header")
        self.assert_refused("ns/x.cc", '#include "base/gone.h"', "does not exist")

    def test_system_headers(self):
        self.assert_allowed("base/x.cc", "#include <sys/mman.h>\n#include <vector>\n#include <signal.h>")
        self.assert_refused("base/x.cc", "#include <bits/stdc++.h>", "internal")
        self.assert_refused("base/x.cc", "#include <errno.h>", "<cerrno>")
        self.assert_refused("ns/x.cc", "#include <sys/ptrace.h>", "belongs to interpose/")
        self.assert_allowed("migrate/x.cc", "#include <sys/ptrace.h>")

    def test_headers_guard_themselves(self):
        self.assert_refused("base/x.h", "int x();", "#pragma once")
        self.assert_refused("base/x.h", "#ifndef X_H_\n#define Y_H_\n#endif", "#pragma once")
        self.assert_allowed("base/x.h", "#ifndef X_H_\n#define X_H_\n#endif")

    def test_headers_of_c_sources_are_c(self):
        self.assert_refused("base/x.h", "#pragma once\n#include <stdint.h>", "<cstdint>")
        self.assert_allowed("base/x.c", '#include "base/thing.h"\n#include <stdint.h>')
        self.assert_allowed("base/thing.h", "#include <stdint.h>", more={"base/x.c": '#include "base/thing.h"'})


if __name__ == "__main__":
    unittest.main()
