"""Runs clang-tidy on every translation unit that changed since it last passed.

A unit has passed when a stamp exists whose name is the hash of all that clang-tidy's answer depends on: its own text,
every project header it includes (as the compiler reported them to ninja), its command line, .clang-tidy and clang-tidy
itself. So a second run costs a second, and nothing that could have changed an answer is left out but system headers.
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess

TOPS = ("base", "ns", "rootfs", "interpose", "migrate", "runtime", "tests", "bench")


def units(root, build):
    """The translation units of Beam's own C++ with their command, by absolute path."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    found = {}
    for entry in commands:
        path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        relative = os.path.relpath(path, root)
        if relative.split(os.sep)[0] in TOPS and path.endswith(".cc") and not relative.startswith("tests/guest"):
            found[path] = entry
    return found


def project_headers(root, build):
    """For each object file, the files of the project and the build that the compiler read."""
    text = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    headers, current = {}, None
    for line in text.splitlines():
        if line.startswith("    "):
            path = os.path.normpath(os.path.join(build, line.strip()))
            if path.startswith(root + os.sep):
                headers[current].append(path)
        elif ": #deps" in line:
            current = line.split(":")[0]
            headers[current] = []
    return headers


def digest(paths, *texts):
    hashed = hashlib.sha256()
    for text in texts:
        hashed.update(text.encode())
    for path in sorted(set(paths)):
        with open(path, "rb") as file:
            hashed.update(hashlib.sha256(file.read()).digest())
    return hashed.hexdigest()


def run(build, path, stamp):
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, "--extra-arg=-Wno-unknown-warning-option", path],
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        with open(stamp, "w", encoding="utf-8"):
            pass
        return True, ""
    # stderr holds the count of suppressed warnings; it matters only when clang-tidy itself failed.
    return False, done.stdout or done.stderr


def check(root, build):
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, text=True, check=True).stdout
    with open(os.path.join(root, ".clang-tidy"), encoding="utf-8") as file:
        version += file.read()
    stamps = os.path.join(build, "lint-passed")
    os.makedirs(stamps, exist_ok=True)
    headers = project_headers(root, build)
    valid, due = set(), []
    for path, entry in sorted(units(root, build).items()):
        words = shlex.split(entry["command"])
        read = headers.get(words[words.index("-o") + 1])
        if read is None:
            print(f"{os.path.relpath(path, root)} has not been built, so what it includes is unknown; run `make build`")
            return False
        name = digest(read + [path], version, entry["command"])
        valid.add(name)
        if not os.path.exists(os.path.join(stamps, name)):
            due.append((path, os.path.join(stamps, name)))
    for old in set(os.listdir(stamps)) - valid:
        os.unlink(os.path.join(stamps, old))

    passed = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for ok, output in pool.map(lambda unit: run(build, *unit), due):
            passed = passed and ok
            if output:
                print(output, flush=True)
    return passed
