#!/usr/bin/python3
"""Checks what includes what: usage: includes.py ROOT

The folders of the architecture stand in a row, and each may include all to its left and nothing to its right:

    base < ns < rootfs < interpose < migrate < runtime

tests/ and bench/ may include every folder and are included by none, but that an x_test.cc may use tests/. The other
rules keep that check honest (one way to write a project header) and headers self-contained.
"""

import os
import re
import sys

ROW = ("base", "ns", "rootfs", "interpose", "migrate", "runtime")
OUTSIDE = ("tests", "bench")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')

# What the build makes, below build/generated.
GENERATED = (".inc", "_generated.h")

# C headers whose declarations C++ has in std, as the C++ header's name.
C_HEADERS = {f"{name}.h": f"c{name}" for name in (
    "assert ctype errno fenv float inttypes limits locale math setjmp signal stdarg stddef stdint stdio stdlib string "
    "time wchar wctype").split()}
# These also declare what POSIX adds to the C header (sigaction, clock_gettime...), which the C++ header needn't.
POSIX_TOO = {"signal.h", "time.h", "limits.h", "stdlib.h", "stdio.h", "string.h", "setjmp.h", "math.h"}

# Tracing exists only behind the interposer: what lies to its left knows nothing of tracees.
FIRST_FOLDER_FOR = {"sys/ptrace.h": "interpose", "linux/ptrace.h": "interpose", "linux/seccomp.h": "interpose"}


GUARD = re.compile(r"^\s*#\s*(?:pragma\s+once|ifndef\s+(\w+)\s+#\s*define\s+\1)\s*$", re.MULTILINE)


def c_headers(root):
    """The project headers that C or assembly includes, and which so must be C."""
    found = set()
    for top in ROW:
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in files:
                if name.endswith((".c", ".S")):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        found |= {match[1] for match in map(INCLUDE.match, file) if match and match[1]}
    return found


def sources(root):
    for top in ROW + OUTSIDE:
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".cc", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def project_include(root, path, target):
    """What is wrong with `path` including the project header `target`, or None."""
    folder, wanted = path.split("/")[0], target.split("/")[0]
    if wanted not in ROW + OUTSIDE:
        return f'"{target}" is not a project header named from the top of the tree; write "folder/name.h" or <system>'
    if not os.path.exists(os.path.join(root, target)) and not target.endswith(GENERATED):
        return f'"{target}" does not exist'
    if folder in OUTSIDE or wanted == folder:
        return None
    if wanted in OUTSIDE:
        return None if path.endswith("_test.cc") and wanted == "tests" else f"{folder}/ may not include {wanted}/"
    if ROW.index(wanted) > ROW.index(folder):
        return f"{folder}/ may not include {wanted}/, which stands to its right: {' < '.join(ROW)}"
    return None


def system_include(root, path, target, is_c):
    folder = path.split("/")[0]
    if target.split("/")[0] in ROW + OUTSIDE and os.path.exists(os.path.join(root, target)):
        return f'<{target}> is a project header: include it as "{target}"'
    if target.startswith("bits/"):
        return f"<{target}> is internal to the C or C++ library; include the public header"
    if target in C_HEADERS and target not in POSIX_TOO and not is_c:
        return f"<{target}> is <{C_HEADERS[target]}> in C++"
    first = FIRST_FOLDER_FOR.get(target)
    if first and folder in ROW and ROW.index(folder) < ROW.index(first):
        return f"<{target}> belongs to {first}/ and what stands to its right, not to {folder}/"
    return None


def check(root):
    """Yields a line for each fault."""
    in_c = c_headers(root)
    for path in sources(root):
        if path.startswith(("tests/guest", "tests/calls")):
            continue  # programs of the sandbox stand alone: they see the C library and nothing of Beam
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        if path.endswith(".h") and not GUARD.search(text):
            yield f"{path}:1: a header without #pragma once"
        for number, line in enumerate(text.splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quoted, angled = match.groups()
            fault = project_include(root, path, quoted) if quoted else system_include(root, path, angled, path in in_c)
            if fault:
                yield f"{path}:{number}: {fault}"


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    faults = list(check(sys.argv[1]))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
