#!/usr/bin/python3
"""Measures freeze, snapshot and thaw against what a plain copy of as many bytes takes, and how they grow with processes.

For each size and place the copy and the freeze run in turn, in each repetition anew. Writes freeze.md and freeze.json into
--output, and says for each limit of the project whether it is kept; a missed limit is no failure.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time

SNAPSHOT_LIMIT_MS, THAW_LIMIT_MS, FREEZE_LIMIT = 100, 50, 0.70


class Sandbox:
    def __init__(self, options, directory, mebibytes, processes=0):
        self.beam = os.path.abspath(options.beam)
        self.directory = directory
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": directory, "BEAM_HOME": os.path.join(directory, "beam"),
                            "XDG_RUNTIME_DIR": os.path.join(directory, "rt"), "LC_ALL": "C.UTF-8"}
        os.makedirs(self.environment["XDG_RUNTIME_DIR"], mode=0o700, exist_ok=True)
        self.name = "box"
        self.call("run", "-d", "--name", self.name, "--", os.path.abspath(options.dirty), str(mebibytes), str(processes))
        while "ready" not in self.call("logs", self.name):
            time.sleep(0.02)

    def call(self, *words):
        """Runs beam WORDS; what it printed. Milliseconds that it took: self.took."""
        start = time.monotonic()
        result = subprocess.run([self.beam, *words], env=self.environment, capture_output=True, text=True, check=False)
        self.took = (time.monotonic() - start) * 1e3
        if result.returncode != 0:
            raise RuntimeError(f"beam {' '.join(words)}: status {result.returncode}: {result.stderr.strip()[-300:]}")
        return result.stdout

    def pause(self):
        """The longest pause since it was asked last, in ms, and when it ended (time of day, in ms)."""
        before = self.call("logs", self.name).count("\n")
        self.call("kill", "-s", "USR1", f"{self.name}:2")
        while True:
            lines = self.call("logs", self.name).splitlines()
            if len(lines) > before:
                longest, ended = lines[-1].split()
                return float(longest), float(ended)
            time.sleep(0.01)

    def end(self):
        subprocess.run([self.beam, "rm", "-f", self.name], env=self.environment, capture_output=True, check=False)


def plain_copy(directory, size):
    """Seconds to write so many bytes from memory into a file, flushed."""
    block = random.Random(1).randbytes(256 << 10)
    path = os.path.join(directory, "copy")
    start = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        for _ in range(size // len(block)):
            file.write(block)
        os.fsync(file.fileno())
    took = time.monotonic() - start
    os.unlink(path)
    return took


def measure(options, directory, mebibytes, processes=0):
    size = mebibytes << 20
    row = {"copy_s": [], "snapshot_s": [], "snapshot_pause_ms": [], "freeze_s": [], "thaw_ms": [], "first_instruction_ms": []}
    for _ in range(options.reps):
        box = Sandbox(options, directory, mebibytes, processes)
        try:
            image = os.path.join(directory, "image")
            if size:
                row["copy_s"].append(plain_copy(directory, size))
            box.pause()
            box.call("freeze", box.name, "--keep-running", "-o", image)
            row["snapshot_s"].append(box.took / 1e3)
            row["snapshot_pause_ms"].append(box.pause()[0])
            shutil.rmtree(image)
            box.call("freeze", box.name, "-o", image)
            row["freeze_s"].append(box.took / 1e3)
            began = time.time() * 1e3
            box.call("thaw", "-d", image)
            row["thaw_ms"].append(box.took)
            row["first_instruction_ms"].append(box.pause()[1] - began)
        finally:
            box.end()
            shutil.rmtree(os.path.join(directory, "image"), ignore_errors=True)
    return row


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def report(results):
    lines = ["# Freeze, snapshot and thaw", "",
             "Written by `make bench` (bench/freeze.py): medians, and in brackets the least and the greatest. The copy writes as many",
             "bytes from memory into a file and flushes it; a freeze does that, and hashes, too.", "",
             f"- kernel {os.uname().release}, {os.cpu_count()} processors, {results['reps']} repetitions, warm page cache, load {results['load']:.1f}", "",
             "| place | MiB | copy, GB/s | freeze, GB/s | freeze to copy | snapshot pause, ms | snapshot, GB/s | thaw -d, ms | first instruction, ms |",
             "|---|---|---|---|---|---|---|---|---|"]
    verdicts = []
    for row in results["sizes"]:
        size = (row["mebibytes"] << 20) / 1e9
        ratio = [copy / freeze for copy, freeze in zip(row["copy_s"], row["freeze_s"])]
        lines.append("| " + " | ".join([
            row["place"], str(row["mebibytes"]), spread([size / s for s in row["copy_s"]], 2),
            spread([size / s for s in row["freeze_s"]], 2), spread(ratio, 2), spread(row["snapshot_pause_ms"]),
            spread([size / s for s in row["snapshot_s"]], 2), spread(row["thaw_ms"], 0),
            spread(row["first_instruction_ms"], 0)]) + " |")
        what = f"{row['mebibytes']} MiB on {row['place']}"
        verdicts.append((statistics.median(ratio) >= FREEZE_LIMIT,
                         f"freeze of {what}: {statistics.median(ratio):.2f} of a copy's rate, limit {FREEZE_LIMIT:.2f}"))
        if row["mebibytes"] <= 1024:
            pause = statistics.median(row["snapshot_pause_ms"])
            verdicts.append((pause < SNAPSHOT_LIMIT_MS, f"pause of a snapshot of {what}: {pause:.0f} ms, limit {SNAPSHOT_LIMIT_MS}"))
        first = statistics.median(row["first_instruction_ms"])
        verdicts.append((first < THAW_LIMIT_MS, f"first instruction of a thaw of {what}: {first:.0f} ms, limit {THAW_LIMIT_MS}"))
    lines += ["", "| processes | freeze, ms | snapshot pause, ms | thaw -d, ms |", "|---|---|---|---|"]
    for row in results["processes"]:
        lines.append(f"| {row['processes'] + 1} | {spread([s * 1e3 for s in row['freeze_s']], 0)} | "
                     f"{spread(row['snapshot_pause_ms'], 0)} | {spread(row['thaw_ms'], 0)} |")
    lines += ["", "## Limits", ""] + [f"- {'kept' if kept else 'MISSED'}: {line}" for kept, line in verdicts] + [""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Measures freeze, snapshot and thaw.")
    parser.add_argument("--beam", required=True)
    parser.add_argument("--dirty", required=True, help="the dirty program of this folder, built")
    parser.add_argument("--output", default="docs")
    parser.add_argument("--sizes", default="64,512,1024,2048", help="MiB that are dirtied")
    parser.add_argument("--processes", default="1,10,100,1000")
    parser.add_argument("--places", default="disk=/var/tmp,tmpfs=/dev/shm")
    parser.add_argument("--reps", type=int, default=5)
    options = parser.parse_args()
    results = {"reps": options.reps, "sizes": [], "processes": []}
    for place in options.places.split(","):
        name, path = place.split("=")
        for size in map(int, options.sizes.split(",")):
            with tempfile.TemporaryDirectory(prefix="beam-bench-", dir=path) as directory:
                row = {"place": name, "mebibytes": size, **measure(options, directory, size)}
                results["sizes"].append(row)
                print(f"{name} {size} MiB: pause {spread(row['snapshot_pause_ms'])} ms", flush=True)
    for count in map(int, options.processes.split(",")):
        with tempfile.TemporaryDirectory(prefix="beam-bench-") as directory:
            row = {"processes": count, **measure(options, directory, 0, count)}
            results["processes"].append(row)
            print(f"{count} processes: freeze {spread([s * 1e3 for s in row['freeze_s']])} ms", flush=True)
    results["load"] = os.getloadavg()[1]  # others' work counts as well
    text = report(results)
    with open(os.path.join(options.output, "freeze.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(options.output, "freeze.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    print(text)


if __name__ == "__main__":
    main()
