#!/usr/bin/python3
"""Measures moves between two workstations of a lab, cold and with --pre-copy, against a raw stream of as many bytes over the loopback.

The sandbox dirties its memory at a rate while it is moved; its downtime is the longest time that it did not run, by its
own clock. Stream and moves run in turn, in each repetition anew. Writes migrate.md and migrate.json into --output, and says
for each limit of the project whether it is kept; a missed limit is no failure.
"""

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

DOWNTIME_LIMIT_MS, TOTAL_LIMIT = 150, 1.3


class Lab:
    def __init__(self, options, directory):
        self.beam = os.path.abspath(options.beam)
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": directory, "BEAM_HOME": os.path.join(directory, "beam"),
                            "XDG_RUNTIME_DIR": os.path.join(directory, "rt"), "LC_ALL": "C.UTF-8"}
        os.makedirs(self.environment["XDG_RUNTIME_DIR"], mode=0o700, exist_ok=True)
        self.call("lab", "up", "2")

    def call(self, *words):
        start = time.monotonic()
        result = subprocess.run([self.beam, *words], env=self.environment, capture_output=True, text=True, check=False)
        self.took = (time.monotonic() - start) * 1e3
        if result.returncode != 0:
            raise RuntimeError(f"beam {' '.join(words)}: status {result.returncode}: {result.stderr.strip()[-300:]}")
        return result.stdout

    def at(self, workstation, *words):
        return self.call("lab", "exec", workstation, "--", self.beam, *words)

    def end(self):
        for workstation in ("ws1", "ws2"):
            subprocess.run([self.beam, "lab", "exec", workstation, "--", self.beam, "rm", "-f", "box"], env=self.environment,
                           capture_output=True, check=False)
        subprocess.run([self.beam, "lab", "down"], env=self.environment, capture_output=True, check=False)


def pause(lab, workstation):
    """The longest pause of the sandbox since it was asked last, in ms."""
    before = lab.at(workstation, "logs", "box").count("\n")
    lab.at(workstation, "kill", "-s", "USR1", "box:2")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = lab.at(workstation, "logs", "box").splitlines()
        if len(lines) > before:
            return float(lines[-1].split()[0])
        time.sleep(0.01)
    raise RuntimeError("the sandbox does not answer")


def raw_stream(size):
    """Seconds to send so many bytes over the loopback, until they are acknowledged."""
    block = random.Random(1).randbytes(256 << 10)
    listener = socket.create_server(("127.0.0.1", 0))

    def receive():
        connection, _ = listener.accept()
        with connection:
            buffer = bytearray(256 << 10)
            left = size
            while left > 0:
                left -= connection.recv_into(buffer)
            connection.sendall(b"!")

    receiver = threading.Thread(target=receive)
    receiver.start()
    start = time.monotonic()
    with socket.create_connection(listener.getsockname()) as sender:
        for _ in range(size // len(block)):
            sender.sendall(block)
        sender.recv(1)
    took = time.monotonic() - start
    receiver.join()
    listener.close()
    return took


def measure(options, mebibytes, rate):
    row = {"mebibytes": mebibytes, "rate": rate, "stream_s": []}
    kinds = ("cold", "pre-copy")
    for kind in kinds:
        row[kind] = {"total_s": [], "downtime_ms": []}
    for _ in range(options.reps):
        directory = tempfile.mkdtemp(prefix="beam-bench-", dir=options.place)
        lab = Lab(options, directory)
        try:
            row["stream_s"].append(raw_stream(mebibytes << 20))
            for kind in random.sample(kinds, len(kinds)):
                lab.at("ws1", "run", "-d", "--name", "box", "--", os.path.abspath(options.dirty), str(mebibytes), "0", str(rate))
                while "ready" not in lab.at("ws1", "logs", "box"):
                    time.sleep(0.02)
                pause(lab, "ws1")
                lab.at("ws1", "migrate", "box", "ws2", *(["--pre-copy"] if kind == "pre-copy" else []))
                row[kind]["total_s"].append(lab.took / 1e3)
                row[kind]["downtime_ms"].append(pause(lab, "ws2"))
                lab.at("ws2", "rm", "-f", "box")
        finally:
            lab.end()
            shutil.rmtree(directory, ignore_errors=True)
    return row


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def report(results):
    lines = ["# Migration", "",
             "Written by `make bench` (bench/migrate.py): medians, and in brackets the least and the greatest. A sandbox moves between",
             "two workstations of a lab while it dirties its memory at a rate; the stream sends as many bytes over the loopback, in",
             "the clear. Both ends share the processors.", "",
             f"- kernel {os.uname().release}, {os.cpu_count()} processors, {results['reps']} repetitions, images in {results['place']}, load {results['load']:.1f}", "",
             "| MiB | dirtied, MB/s | stream, ms | cold: total, ms | cold: downtime, ms | pre-copy: total, ms | pre-copy: downtime, ms |",
             "|---|---|---|---|---|---|---|"]
    verdicts = []
    for row in results["sizes"]:
        stream = statistics.median(row["stream_s"])
        cells = [str(row["mebibytes"]), str(row["rate"]), spread([s * 1e3 for s in row["stream_s"]], 0)]
        for kind in ("cold", "pre-copy"):
            cells += [spread([s * 1e3 for s in row[kind]["total_s"]], 0), spread(row[kind]["downtime_ms"], 0)]
        lines.append("| " + " | ".join(cells) + " |")
        what = f"{row['mebibytes']} MiB, {row['rate']} MB/s dirtied"
        if row["rate"] == 0:
            for kind in ("cold", "pre-copy"):
                ratio = statistics.median(row[kind]["total_s"]) / stream
                verdicts.append((ratio <= TOTAL_LIMIT, f"{kind} total of {what}: {ratio:.1f} of the stream's time, limit {TOTAL_LIMIT}"))
        if row["mebibytes"] <= 512 and row["rate"] <= 100:
            down = statistics.median(row["pre-copy"]["downtime_ms"])
            verdicts.append((down < DOWNTIME_LIMIT_MS, f"pre-copy downtime of {what}: {down:.0f} ms, limit {DOWNTIME_LIMIT_MS}"))
    lines += ["", "## Limits", ""] + [f"- {'kept' if kept else 'MISSED'}: {line}" for kept, line in verdicts] + [""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Measures moves between workstations.")
    parser.add_argument("--beam", required=True)
    parser.add_argument("--dirty", required=True, help="the dirty program of this folder, built")
    parser.add_argument("--output", default="docs")
    parser.add_argument("--sizes", default="64,512,2048", help="MiB that are dirtied")
    parser.add_argument("--rates", default="0,100,1000", help="MB/s that are dirtied on")
    parser.add_argument("--place", default="/var/tmp")
    parser.add_argument("--reps", type=int, default=3)
    options = parser.parse_args()
    results = {"reps": options.reps, "place": options.place, "sizes": []}
    for size in map(int, options.sizes.split(",")):
        for rate in map(int, options.rates.split(",")):
            row = measure(options, size, rate)
            results["sizes"].append(row)
            print(f"{size} MiB, {rate} MB/s: downtime {spread(row['cold']['downtime_ms'], 0)} ms, "
                  f"with pre-copy {spread(row['pre-copy']['downtime_ms'], 0)} ms", flush=True)
    results["load"] = os.getloadavg()[1]  # others' work counts as well
    text = report(results)
    with open(os.path.join(options.output, "migrate.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(options.output, "migrate.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    print(text)


if __name__ == "__main__":
    main()
