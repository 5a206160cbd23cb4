#!/usr/bin/python3
"""Measures what interposition costs: native, Beam, proot, bubblewrap and strace side by side, as ratios to native.

The peers run interleaved: in each repetition of a row every peer runs once, in a random order, and its ratio is to the
native run of the same repetition. So a machine that slows down meanwhile slows down all of them. Writes benchmarks.md and
benchmarks.json into --output, and says for each limit of the project whether it is kept; a missed limit is no failure.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "programs"))
import c_project  # noqa: E402

MILLION = 1_000_000


class Loop:
    """A row that the loops program times itself, in nanoseconds an operation."""

    def __init__(self, name, what, most, command=()):
        self.name, self.what, self.most, self.command = name, what, most, list(command)
        self.unit = "ns"
        self.row = "exec" if command or name == "fork+exec" else name.split()[0].split("+")[0]

    def measure(self, bench, peer, count):
        argv = bench.peers[peer] + [bench.loops, self.row, str(count)] + self.command
        return float(bench.run(argv).split()[0])


class Wall:
    """A row that is a command, timed from start to end, in nanoseconds."""

    def __init__(self, name, what, argv, before=None):
        self.name, self.what, self.argv, self.before, self.most, self.unit = name, what, argv, before, 1, "ns"

    def measure(self, bench, peer, count):
        if self.before:
            bench.run(self.before)
        start = time.monotonic_ns()
        bench.run(bench.peers[peer] + self.argv)
        return float(time.monotonic_ns() - start)


ROWS = [
    Loop("fork+exec", "fork, exec of /bin/true and wait", 2000),
    Wall("build", "make -j2 of 60 C files", ["make", "-j2", "-s", "CC=gcc"], ["make", "-s", "clean"]),
    Wall("find", "find over /usr with a stat of each file",
         # Its rules are readable to polkit alone.
         ["find", "/usr", "-path", "/usr/share/polkit-1", "-prune", "-o", "-type", "f", "-size", "+100M", "-print"]),
    Loop("python", "start and end of python3 -c 'import json, re'", 20,
         ["/usr/bin/python3", "-c", "import json, re"]),
    Loop("compute", "a thousand rounds of a hash", MILLION // 2),
    Loop("getpid", "getpid", MILLION),
    Loop("open+close", "open and close of a file", MILLION),
    Loop("stat", "stat of a file", MILLION),
    Loop("read", "read of 4 KiB from the page cache", MILLION),
    Loop("pingpong", "a byte to another process and one back, over pipes", MILLION),
    Loop("signal", "a signal to oneself, handled", MILLION),
]

LIMITS = {"compute": 1.01, "read": 1.01, "build": 1.10, "fork+exec": 1.5}
AHEAD_OF = ("proot", "strace")
START_LIMIT_MS = 10
MEMORY_LIMIT_KIB, MEMORY_EACH_LIMIT_KIB = 24 * 1024, 64


class Bench:
    def __init__(self, options, directory):
        self.loops = os.path.abspath(options.loops)
        self.beam = os.path.abspath(options.beam)
        self.directory = directory
        self.random = random.Random(options.seed)
        self.user = None
        self.environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": directory, "TMPDIR": "/tmp",
                            "LC_ALL": "C.UTF-8", "BEAM_HOME": os.path.join(directory, "beam"),
                            "XDG_RUNTIME_DIR": os.path.join(directory, "rt")}
        self.peers = {
            "native": [],
            "beam": [self.beam, "run", "--"],
            "proot": ["proot"],
            "bubblewrap": ["bwrap", "--dev-bind", "/", "/", "--"],
            "strace bpf": ["strace", "-f", "--seccomp-bpf", "-e", "trace=reboot", "-o", "/dev/null"],
            "strace": ["strace", "-f", "-o", "/dev/null"],
        }
        self.timeout = options.timeout

    def argv(self, argv):
        if self.user is None:
            return argv
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--"] + argv

    def popen(self, argv, **kwargs):
        return subprocess.Popen(self.argv(argv), cwd=self.directory, env=self.environment, start_new_session=True, **kwargs)

    def run(self, argv):
        with self.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                out, err = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                raise RuntimeError(f"no end after {self.timeout} s: {' '.join(argv)}") from None
        if process.returncode != 0:
            raise RuntimeError(f"status {process.returncode}: {' '.join(argv)}: {err.strip()[-300:]}")
        return out

    def measure_row(self, row, reps, seconds, peers):
        """peer -> {"ns": [...], "ratio": [...]} or {"failed": reason}."""
        counts, results = {}, {}
        for peer in peers:
            try:
                count = row.most
                if row.most > 1:
                    # A short run first tells how many operations fit into the time that one run may take.
                    trial = max(1, row.most // 1000)
                    each = row.measure(self, peer, trial)
                    count = max(1, min(row.most, int(seconds * 1e9 / max(each, 1))))
                counts[peer] = count
                results[peer] = {"count": count, "ns": [], "ratio": []}
            except (RuntimeError, OSError, IndexError, ValueError) as error:
                results[peer] = {"failed": str(error)}
        for _ in range(reps):
            order = list(counts)
            self.random.shuffle(order)
            times = {}
            for peer in order:
                try:
                    times[peer] = row.measure(self, peer, counts[peer])
                except (RuntimeError, OSError, IndexError, ValueError) as error:
                    results[peer] = {"failed": str(error)}
                    del counts[peer]
            for peer, nanoseconds in times.items():
                if peer in counts and "native" in times:
                    results[peer]["ns"].append(nanoseconds)
                    results[peer]["ratio"].append(nanoseconds / times["native"])
        return results

    def measure_start(self, reps):
        """Milliseconds of `true` and of `beam run true`, from start to end."""
        times = {"native": [], "beam": []}
        for _ in range(reps):
            for peer in self.random.sample(sorted(times), 2):
                start = time.monotonic_ns()
                self.run(self.peers[peer] + ["true"])
                times[peer].append((time.monotonic_ns() - start) / 1e6)
        return times

    def measure_memory(self, count):
        """KiB of the supervisor, RSS and PSS, with so many sleeping processes beside the first."""
        with self.popen(self.peers["beam"] + [self.loops, "sleepers", str(count)], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                if process.stdout.readline() != "READY\n":
                    raise RuntimeError(f"sleepers {count}: {process.stderr.read().strip()[-300:]}")
                supervisor = self.supervisor_of(process.pid, count)
                with open(f"/proc/{supervisor}/smaps_rollup") as file:
                    fields = {line.split()[0]: int(line.split()[1]) for line in file if line.split()[0] in ("Rss:", "Pss:")}
            finally:
                process.stdin.close()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, 9)
        return {"rss": fields["Rss:"], "pss": fields["Pss:"]}

    def supervisor_of(self, client, count):
        """The tracer of the sandbox's processes; they are found by the helper's path in their command line."""
        mark = f"{self.loops}\0sleepers\0{count}\0".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if not file.read().startswith(mark):
                        continue
                with open(f"/proc/{pid}/status") as file:
                    tracer = next(line.split()[1] for line in file if line.startswith("TracerPid:"))
                if tracer != "0":
                    # A tracer is a thread; the process is named by its Tgid.
                    with open(f"/proc/{tracer}/status") as file:
                        return next(line.split()[1] for line in file if line.startswith("Tgid:"))
            except (OSError, StopIteration):
                continue
        raise RuntimeError(f"no tracer of sleepers {count} below {client}")


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // 1024
    distribution = "unknown"
    with contextlib.suppress(OSError), open("/etc/os-release") as file:
        distribution = next((line.split("=", 1)[1].strip().strip('"') for line in file if line.startswith("PRETTY_NAME")), "")
    with open("/proc/loadavg") as file:
        load = file.read().split()[0]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        virtual = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True).stdout.strip()
        if virtual and virtual != "none":
            model += f" (virtual machine: {virtual})"
    return {"cpu": model, "cores": os.cpu_count(), "memory_mib": memory, "kernel": platform.release(),
            "distribution": distribution, "load_at_start": float(load), "date": datetime.date.today().isoformat()}


def versions(bench):
    commands = {"beam": [bench.beam, "version"], "proot": ["dpkg-query", "-Wf", "${Version}", "proot"],
                "bubblewrap": ["bwrap", "--version"], "strace": ["strace", "-V"]}
    found = {}
    for name, argv in commands.items():
        try:
            found[name] = (bench.run(argv).strip().splitlines() or ["unknown"])[0]
        except (RuntimeError, OSError):
            found[name] = "unknown"
    return found


def spread(values, digits=2):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def duration(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def verdicts(results):
    """(kept, sentence) for each limit that was measured."""
    lines = []
    for name, row in results["rows"].items():
        beam = row.get("beam", {})
        if not beam.get("ratio"):
            if "beam" in row:
                lines.append((False, f"{name}: Beam failed: {beam.get('failed', 'no result')}"))
            continue
        ratio = statistics.median(beam["ratio"])
        if name in LIMITS:
            lines.append((ratio <= LIMITS[name], f"{name}: {ratio:.3f} of native, limit {LIMITS[name]:.2f}"))
        for peer in AHEAD_OF:
            if row.get(peer, {}).get("ratio"):
                other = statistics.median(row[peer]["ratio"])
                # Where neither costs anything, the order is noise.
                level = ratio <= 1.02 and other <= 1.02
                lines.append((ratio < other or level, f"{name}: Beam {ratio:.2f}, {peer} {other:.2f}"))
    start = results.get("start_ms")
    if start:
        extra = statistics.median(start["beam"]) - statistics.median(start["native"])
        lines.append((extra < START_LIMIT_MS, f"beam run true: {extra:.1f} ms more than true, limit {START_LIMIT_MS}"))
    memory = results.get("memory_kib", {})
    if "0" in memory:
        lines.append((memory["0"]["rss"] < MEMORY_LIMIT_KIB,
                      f"supervisor with one process: {memory['0']['rss']} KiB RSS, limit {MEMORY_LIMIT_KIB}"))
        for count in memory:
            if count != "0":
                each = (memory[count]["rss"] - memory["0"]["rss"]) / int(count)
                lines.append((each < MEMORY_EACH_LIMIT_KIB,
                              f"supervisor for each of {count} further processes: {each:.1f} KiB, limit {MEMORY_EACH_LIMIT_KIB}"))
    return lines


def report(results, peers):
    about = results["machine"]
    lines = [
        "# Benchmarks", "",
        "Written by `make bench` (bench/run.py). Every figure is a ratio to the native run of the same repetition: the median,",
        "and in brackets the least and the greatest. The peers run interleaved, in a random order within each repetition.", "",
        f"- processor: {about['cpu']}, {about['cores']} cores, {about['memory_mib']} MiB of memory",
        f"- kernel {about['kernel']}, {about['distribution']}, load {about['load_at_start']} at the start, {about['date']}",
        f"- {results['reps']} repetitions, as {results['as']}",
        "- " + ", ".join(f"{name}: {version}" for name, version in results["versions"].items()),
        "- peers: " + "; ".join(f"{peer}: `{' '.join(argv)}`" for peer, argv in results["peers"].items() if argv), "",
        "| row | one operation | native | " + " | ".join(p for p in peers if p != "native") + " |",
        "|---|---|---|" + "---|" * (len(peers) - 1),
    ]
    for row in ROWS:
        measured = results["rows"].get(row.name)
        if not measured:
            continue
        cells = []
        for peer in peers:
            result = measured.get(peer, {})
            if peer == "native":
                cells.append(duration(statistics.median(result["ns"])) if result.get("ns") else "failed")
            else:
                cells.append(spread(result["ratio"], 3 if LIMITS.get(row.name) == 1.01 else 2) if result.get("ratio") else "failed")
        lines.append(f"| {row.name} | {row.what} | " + " | ".join(cells) + " |")
    lines.append("")
    start = results.get("start_ms")
    if start:
        lines += [f"`beam run true` from start to end: {spread(start['beam'])} ms; `true`: {spread(start['native'])} ms.", ""]
    memory = results.get("memory_kib")
    if memory:
        lines += ["| processes beside the first | supervisor RSS | PSS |", "|---|---|---|"]
        lines += [f"| {count} | {m['rss']} KiB | {m['pss']} KiB |" for count, m in memory.items()] + [""]
    failures = [f"- {name}, {peer}: {result['failed']}" for name, row in results["rows"].items()
                for peer, result in row.items() if "failed" in result]
    failures += [f"- {failure}" for failure in results["failures"]]
    if failures:
        lines += ["## Failed", ""] + failures + [""]
    lines += ["## Limits", ""] + [f"- {'kept' if kept else 'MISSED'}: {line}" for kept, line in verdicts(results)] + [""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Measures Beam and its peers side by side.")
    parser.add_argument("--beam", default=os.environ.get("BEAM"), required="BEAM" not in os.environ)
    parser.add_argument("--loops", required=True, help="the loops program of this folder, built")
    parser.add_argument("--output", default="docs", help="where benchmarks.md and benchmarks.json go")
    parser.add_argument("--rows", help=f"comma-separated, of {', '.join(r.name for r in ROWS)}, start, memory")
    parser.add_argument("--peers", help="comma-separated; native is always one")
    parser.add_argument("--reps", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="the most that one run of a loop may take")
    parser.add_argument("--quick", action="store_true", help="3 repetitions of short loops: shows trends only")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--user", type=int, default=65534, help="the user that root runs all of it as")
    options = parser.parse_args()
    if options.quick:
        options.reps, options.seconds = min(options.reps, 3), min(options.seconds, 0.3)
    chosen = options.rows.split(",") if options.rows else [row.name for row in ROWS] + ["start", "memory"]
    unknown = set(chosen) - {row.name for row in ROWS} - {"start", "memory"}
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}")

    directory = tempfile.mkdtemp(prefix="beam-bench-", dir="/tmp")
    try:
        bench = Bench(options, directory)
        peers = list(bench.peers)
        if options.peers:
            peers = ["native"] + [p for p in options.peers.split(",") if p != "native"]
            if set(peers) - set(bench.peers):
                parser.error(f"the peers are {', '.join(bench.peers)}")
        for peer in list(peers):
            program = (bench.peers[peer] or ["make"])[0]
            if not shutil.which(program, path=bench.environment["PATH"]):
                package = {"bwrap": "bubblewrap"}.get(program, program)
                print(f"{program} is missing: install it with `make deps` or `apt-get install {package}`", file=sys.stderr)
                return 1
        c_project.write(directory, files=60, functions=6)
        for name in ("rt", "beam"):
            os.mkdir(os.path.join(directory, name), 0o700)
        if os.getuid() == 0:
            bench.user = options.user
            # Copies, since root's build folder may be closed to others; beam's helpers lie beside it.
            binaries = os.path.join(directory, "bin")
            os.mkdir(binaries)
            for source in (bench.loops, bench.beam, os.path.join(os.path.dirname(bench.beam), "beam-init")):
                if os.path.exists(source):
                    shutil.copy2(source, binaries)
            bench.loops = os.path.join(binaries, os.path.basename(bench.loops))
            bench.beam = os.path.join(binaries, os.path.basename(bench.beam))
            bench.peers["beam"][0] = bench.beam
            for path, names, files in os.walk(directory):
                for entry in [path] + [os.path.join(path, f) for f in files]:
                    os.chown(entry, options.user, options.user)
        results = {"machine": machine(), "versions": versions(bench), "reps": options.reps,
                   "as": f"uid {bench.user if bench.user is not None else os.getuid()}",
                   "peers": {p: ["beam" if a == bench.beam else a for a in bench.peers[p]] for p in peers},
                   "rows": {}, "failures": []}
        for row in ROWS:
            if row.name in chosen:
                results["rows"][row.name] = bench.measure_row(row, options.reps, options.seconds, peers)
                shown = ", ".join(f"{peer} {spread(r['ratio']) if r.get('ratio') else 'failed'}"
                                  for peer, r in results["rows"][row.name].items())
                print(f"{row.name}: {shown}", flush=True)
        if "beam" in peers:
            try:
                if "start" in chosen:
                    results["start_ms"] = bench.measure_start(10 if options.quick else 40)
            except (RuntimeError, OSError) as error:
                results["failures"].append(f"start: {error}")
            if "memory" in chosen:
                results["memory_kib"] = {}
                for count in (0, 100, 1000):
                    try:
                        results["memory_kib"][str(count)] = bench.measure_memory(count)
                    except (RuntimeError, OSError, KeyError) as error:
                        results["failures"].append(f"memory with {count} processes: {error}")
        os.makedirs(options.output, exist_ok=True)
        text = report(results, peers)
        with open(os.path.join(options.output, "benchmarks.md"), "w") as file:
            file.write(text)
        with open(os.path.join(options.output, "benchmarks.json"), "w") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
        print()
        for kept, line in verdicts(results):
            print(f"{'kept  ' if kept else 'MISSED'} {line}")
        for failure in results["failures"]:
            print(f"failed {failure}")
        print(f"\nwritten: {os.path.join(options.output, 'benchmarks.md')}")
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
