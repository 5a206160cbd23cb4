#!/usr/bin/python3
"""Fails for a ctest test that isn't started by tests/harness/launch, so not as an ordinary user: usage: ... BUILD"""

import os
import re
import sys

# As CMake writes them: add_test([=[name]=] "program" "argument"...)
TEST = re.compile(r'^add_test\((?:\[(=*)\[(?P<bracketed>.*?)\]\1\]|(?P<plain>\S+)) "(?P<program>[^"]*)"', re.MULTILINE)


def main():
    seen, bare = 0, []
    for folder, _, files in os.walk(sys.argv[1]):
        if "CTestTestfile.cmake" not in files:
            continue
        with open(os.path.join(folder, "CTestTestfile.cmake"), encoding="utf-8") as file:
            text = file.read()
        if text.count("add_test(") != len(TEST.findall(text)):
            print(f"{file.name}: not every add_test() line can be read; mend TEST in this script")
            return 1
        for match in TEST.finditer(text):
            seen += 1
            if not match["program"].endswith("/tests/harness/launch"):
                bare.append(match["bracketed"] or match["plain"])
    for name in bare:
        print(f"test {name} is declared with add_test(); declare it with beam_test() (cmake/Tests.cmake)")
    if not seen:
        print(f"no test is declared below {sys.argv[1]}")
    return 1 if bare or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
