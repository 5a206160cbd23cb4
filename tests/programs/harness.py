"""Runs a real program natively and under `beam run` and compares everything an observer could tell them apart by.

A test file makes one Suite, adds Scenarios to it and calls main(). Each scenario runs once natively, once alone under
`beam run`, and then in several copies at the same time under `beam run`, every copy in a work dir of its own. Compared
are stdout, stderr, exit status, and the tree of the work dir (names, types, modes, owners, link counts, contents); for
a scenario on a terminal also the bytes the terminal showed and the terminal's settings after the end. Nothing may be
left running once a scenario has ended.

What must differ between any two runs (pids, clock times) is rewritten by Scenario.vary() or left out by
Scenario.ignore(), each with its reason. `--native-only` compares native runs with each other: a scenario that fails
this way is not deterministic, and the fault is the test's.
"""

import argparse
import concurrent.futures
import difflib
import fcntl
import fnmatch
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time

COPIES = 3
SKIPPED = 77  # ctest's SKIP_RETURN_CODE, see CMakeLists.txt


class Failure(Exception):
    """A run that could not be carried out or compared; the message says what and why."""


class Scenario:
    """One command, what its work dir holds at the start, and what of its outcome may vary."""

    def __init__(self, name, argv, *, files=None, prepare=None, driver=None, stdin=b"", timeout=30, env=None,
                 beam_options=()):
        self.name = name
        self.argv = argv
        self.files = files or {}
        self.prepare = prepare  # prepare(dir): fills the template of the work dir, natively, once
        self.driver = driver  # driver(Terminal): plays the user; the command then runs on a terminal
        self.stdin = stdin
        self.timeout = timeout
        self.env = env or {}
        self.beam_options = list(beam_options)
        self._variations = []
        self._ignored = []

    def vary(self, pattern, replacement, *, because):
        """Rewrites in stdout, stderr and transcript what can't be equal in two runs."""
        if not because:
            raise ValueError("a variation needs its reason")
        self._variations.append((re.compile(pattern, re.MULTILINE), replacement))
        return self

    def ignore(self, pattern, *, because):
        """Leaves the contents and size of files with this path in the work dir out; name, type and mode still count."""
        if not because:
            raise ValueError("an ignored file needs its reason")
        self._ignored.append(pattern)
        return self

    def normalise(self, text):
        for pattern, replacement in self._variations:
            text = pattern.sub(replacement, text)
        return text

    def ignores(self, path):
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self._ignored)


def script(name, text, *, shell="/bin/sh", **kwargs):
    """A scenario that is a shell script. It lies beside the work dir's other files, so $0 is the same everywhere."""
    files = dict(kwargs.pop("files", {}))
    files["scenario.sh"] = text
    return Scenario(name, [shell, "scenario.sh"], files=files, **kwargs)


class Terminal:
    """The user's side of a pseudo-terminal: types, waits for what appears, keeps the transcript."""

    def __init__(self, master, deadline):
        self._master = master
        self._deadline = deadline
        self._seen = 0
        self.transcript = b""

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self._master, data):]

    def expect(self, pattern):
        """Waits until the pattern appears after all that was expected before."""
        regex = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.MULTILINE)
        while True:
            match = regex.search(self.transcript, self._seen)
            if match:
                self._seen = match.end()
                return match
            if not self._read():
                raise Failure(f"the terminal closed while waiting for {pattern!r}; last it showed:\n{self.tail()}")

    def resize(self, rows, columns):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def drain(self):
        while self._read():
            pass

    def tail(self):
        return self.transcript[-800:].decode(errors="replace")

    def _read(self):
        left = self._deadline - time.monotonic()
        if left <= 0 or not select.select([self._master], [], [], left)[0]:
            raise Failure(f"timed out on the terminal; last it showed:\n{self.tail()}")
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the last process has closed the other side
            return False
        self.transcript += data
        return bool(data)


class Outcome:
    def __init__(self):
        self.status = None
        self.stdout = ""
        self.stderr = ""
        self.terminal = ""
        self.tree = {}
        self.seconds = 0.0


class Runner:
    """Owns the private directory of a test, the template of a scenario's work dir and the copies made of it."""

    def __init__(self, beam, keep):
        self.beam = beam
        self.keep = keep
        self.root = tempfile.mkdtemp(prefix="beamprog-")
        self._serial = 0
        self._run_options = None
        self.home = os.path.join(self.root, "home")
        self.runtime_dir = os.path.join(self.root, "rt")
        for directory in (self.home, self.runtime_dir):
            os.mkdir(directory, 0o700)

    def close(self):
        if self.keep:
            print(f"kept: {self.root}", flush=True)
        else:
            shutil.rmtree(self.root, ignore_errors=True)

    def template(self, scenario):
        directory = os.path.join(self.root, "template", scenario.name)
        os.makedirs(os.path.join(directory, "tmp"))
        for name, content in scenario.files.items():
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
            os.chmod(path, 0o755 if content[:2] in (b"#!", "#!") else 0o644)
        if scenario.prepare:
            scenario.prepare(directory)
        return directory

    def new_copy(self, template):
        """A fresh work dir; all of their paths have one length, so that nothing is aligned or wrapped differently."""
        self._serial += 1
        work = os.path.join(self.root, f"{self._serial:03d}", "w")
        os.mkdir(os.path.dirname(work))
        shutil.copytree(template, work, symlinks=True)
        return work

    def environment(self, scenario, work):
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": work,
            "TMPDIR": os.path.join(work, "tmp"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "TERM": "xterm",
            "SHELL": "/bin/sh",
            "BEAM_HOME": self.home,
            "XDG_RUNTIME_DIR": self.runtime_dir,
        }
        for name in ("BEAM_LOG", "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(scenario.env)
        return environment

    def beam_command(self, scenario, work, name):
        if self._run_options is None:
            shown = subprocess.run([self.beam, "run", "--help"], stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, timeout=30)
            self._run_options = shown.stdout
        command = [self.beam, "run", "--name", name, "--rm"]
        # Writes of a sandbox go to its private layer unless told otherwise; side effects are compared in the work dir.
        if "--rw" in self._run_options:
            command += ["--rw", work]
        return command + scenario.beam_options + ["--"]

    def run(self, scenario, template, beam):
        work = self.new_copy(template)
        environment = self.environment(scenario, work)
        name = "t" + os.path.basename(os.path.dirname(work))
        argv = (self.beam_command(scenario, work, name) if beam else []) + scenario.argv
        outcome = Outcome()
        start = time.monotonic()
        try:
            if scenario.driver:
                self._run_on_terminal(scenario, argv, work, environment, outcome)
            else:
                self._run_on_pipes(scenario, argv, work, environment, outcome)
        except Failure:
            if beam:  # a sandbox outlives its client by design, so it has to be ended by its name
                subprocess.run([self.beam, "rm", "-f", name], env=environment, stdin=subprocess.DEVNULL,
                               capture_output=True, timeout=30)
            end_processes(processes_of(work), signal.SIGKILL, 10)
            raise
        outcome.seconds = time.monotonic() - start
        left = end_processes(processes_of(work), None, 10)
        if left:
            described = "\n".join(f"  {pid} {command}" for pid, command in left)
            end_processes([pid for pid, _ in left], signal.SIGKILL, 10)
            raise Failure(f"processes outlive the command:\n{described}")
        for field in ("stdout", "stderr", "terminal"):
            setattr(outcome, field, scenario.normalise(getattr(outcome, field).replace(work, "/WORK")))
        outcome.tree = tree_of(work, scenario)
        if not self.keep:
            shutil.rmtree(os.path.dirname(work), ignore_errors=True)
        return outcome

    def _run_on_pipes(self, scenario, argv, work, environment, outcome):
        process = subprocess.Popen(argv, cwd=work, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
        try:
            stdout, stderr = process.communicate(scenario.stdin, timeout=scenario.timeout)
        except subprocess.TimeoutExpired as expired:
            processes = describe(processes_of(work))
            end_group(process)
            # What the group had written; processes outside of it may hold the pipes open, so they aren't read to the end.
            raise Failure(f"no end after {scenario.timeout} s; stdout so far:\n{tail(expired.stdout)}\n"
                          f"stderr so far:\n{tail(expired.stderr)}\nstill running:\n{processes}") from None
        outcome.status = process.returncode
        outcome.stdout = stdout.decode(errors="backslashreplace")
        outcome.stderr = stderr.decode(errors="backslashreplace")

    def _run_on_terminal(self, scenario, argv, work, environment, outcome):
        master, slave = pty.openpty()
        terminal = Terminal(master, time.monotonic() + scenario.timeout)
        process = None
        try:
            terminal.resize(24, 80)
            # setsid -c makes the terminal the controlling one before the command starts.
            process = subprocess.Popen(["setsid", "-c"] + argv, cwd=work, env=environment, stdin=slave, stdout=slave,
                                       stderr=slave)
            scenario.driver(terminal)
            # Our own descriptor of the slave keeps the settings readable until the command has ended.
            poll = select.poll()
            pidfd = os.pidfd_open(process.pid)
            poll.register(pidfd, select.POLLIN)
            while not poll.poll(0):
                if select.select([master, pidfd], [], [], max(0, terminal._deadline - time.monotonic()))[0] == []:
                    raise Failure(f"no end after {scenario.timeout} s; the terminal showed:\n{terminal.tail()}")
                if select.select([master], [], [], 0)[0]:
                    terminal._read()
            os.close(pidfd)
            settings = termios.tcgetattr(slave)
            os.close(slave)
            slave = -1
            terminal.drain()
            outcome.status = process.wait()
            outcome.terminal = terminal.transcript.decode(errors="backslashreplace") + f"\nsettings: {settings}\n"
        except Failure as failure:
            raise Failure(f"{failure}\nstill running:\n{describe(processes_of(work))}") from None
        finally:
            if process and process.poll() is None:
                end_group(process)
            if slave >= 0:
                os.close(slave)
            os.close(master)


def tail(data):
    return (data or b"").decode(errors="backslashreplace")[-1000:]


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def processes_of(work):
    """The living processes of a copy: those with its work dir as HOME, or with their cwd or executable in it.

    Both are looked at, since some programs write their title over their environment.
    """
    mark = (f"HOME={work}", f"HOME={work}/")
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{entry}").st_uid != os.getuid():
                continue
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = file.read().decode(errors="replace").split("\0")
            mine = any(entry == mark[0] or entry.startswith(mark[1]) for entry in environment)
            if mine or (os.readlink(f"/proc/{entry}/cwd") + "/").startswith(work + "/"):
                found.append(int(entry))
        except OSError:  # ended meanwhile, or a zombie, or not ours to look at
            continue
    return found


def describe(pids):
    lines = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")[:150]
            with open(f"/proc/{pid}/stat", "r", errors="replace") as file:
                state = file.read().rpartition(")")[2].split()[0]
            with open(f"/proc/{pid}/wchan", "r") as file:
                wchan = file.read()
            lines.append(f"  {pid} {state} {wchan} {command}")
        except OSError:
            continue
    return "\n".join(lines)


def end_processes(pids, send, seconds):
    """Waits for the end of processes, after a signal if one is given; returns (pid, command) of those that live on."""
    deadline = time.monotonic() + seconds
    left = []
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
            if send:
                signal.pidfd_send_signal(pidfd, send)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                left.append((pid, command))
        except OSError:
            pass
        finally:
            os.close(pidfd)
    return left


def tree_of(work, scenario):
    """Path in the work dir -> what it is, in one line."""
    tree = {}
    mark = work.encode()
    for directory, names, files in os.walk(work):
        for name in names + files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, work)
            info = os.lstat(path)
            line = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid}"
            if stat.S_ISLNK(info.st_mode):
                line += " -> " + os.readlink(path).replace(work, "/WORK")
            elif stat.S_ISREG(info.st_mode):
                line += f" links {info.st_nlink}"
                if not scenario.ignores(relative):
                    try:
                        with open(path, "rb") as file:
                            data = file.read()
                        # The paths have one length, so a binary that holds its own keeps its layout.
                        data = data.replace(mark, b"W" * len(mark))
                        line += f" {len(data)} bytes sha256 {hashlib.sha256(data).hexdigest()[:16]}"
                        if len(data) < 300:
                            line += f" {data!r}"
                    except PermissionError:
                        line += f" {info.st_size} bytes, unreadable"
            tree[relative] = line
    return tree


def differences(expected, actual):
    """Lines that tell the difference, or none."""
    lines = []
    if expected.status != actual.status:
        lines.append(f"exit status: native {expected.status}, here {actual.status}")
    for field in ("stdout", "stderr", "terminal"):
        native, here = getattr(expected, field), getattr(actual, field)
        if native != here:
            lines += difflib.unified_diff(native.splitlines(), here.splitlines(), f"{field} (native)",
                                          f"{field} (here)", n=2, lineterm="")
            if native.splitlines() == here.splitlines():
                lines.append(f"{field}: line ends differ: native {native[-80:]!r}, here {here[-80:]!r}")
    for path in sorted(set(expected.tree) | set(actual.tree)):
        native, here = expected.tree.get(path, "absent"), actual.tree.get(path, "absent")
        if native != here:
            lines += [f"{path}:", f"  native: {native}", f"  here:   {here}"]
    return lines


class Suite:
    def __init__(self, name):
        self.name = name
        self.scenarios = []
        self._missing = []
        self._refusal = None

    def needs(self, package, *commands):
        """Commands (names or absolute paths) that the test can't do without, and the package that has them."""
        for command in commands:
            if not shutil.which(command, path="/usr/bin:/bin:/usr/sbin:/sbin"):
                self._missing.append(f"{command} is missing: install it with `make deps` or `apt-get install {package}`")
        return self

    def not_as_root(self, reason):
        if os.getuid() == 0:
            self._refusal = reason
        return self

    def add(self, scenario):
        self.scenarios.append(scenario)
        return scenario

    def main(self):
        parser = argparse.ArgumentParser(description=f"Compares {self.name} natively with {self.name} under beam run.")
        parser.add_argument("--beam", default=os.environ.get("BEAM"), help="the beam program (default: $BEAM)")
        parser.add_argument("--copies", type=int, default=COPIES, help="copies that run at the same time")
        parser.add_argument("--repeat", type=int, default=1, help="do all of it this often")
        parser.add_argument("--only", help="the scenario to run")
        parser.add_argument("--native-only", action="store_true", help="compare native runs with each other")
        parser.add_argument("--show", action="store_true", help="print what the native run gave")
        parser.add_argument("--keep", action="store_true", help="keep the work dirs")
        options = parser.parse_args()
        if self._missing:
            print("\n".join(self._missing), file=sys.stderr)
            return 1
        if self._refusal:
            print(f"skipped as root: {self._refusal}")
            return SKIPPED
        if not options.native_only and not (options.beam and os.access(options.beam, os.X_OK)):
            print(f"no beam program at {options.beam!r}: build it, or name it with --beam or BEAM", file=sys.stderr)
            return 1
        chosen = [s for s in self.scenarios if options.only in (None, s.name)]
        if not chosen:
            print(f"no scenario {options.only!r}: there are {', '.join(s.name for s in self.scenarios)}",
                  file=sys.stderr)
            return 1
        failed = []
        runner = Runner(os.path.abspath(options.beam) if options.beam else None, options.keep)

        def ended(number, frame):
            """Told to end (by a time limit of whoever runs the tests): takes along all that was started."""
            end_processes(processes_of(runner.root), signal.SIGKILL, 5)
            runner.close()
            os._exit(128 + number)

        signal.signal(signal.SIGTERM, ended)
        signal.signal(signal.SIGINT, ended)
        try:
            for _ in range(options.repeat):
                for scenario in chosen:
                    # A leftover template of the round before would be found filled.
                    shutil.rmtree(os.path.join(runner.root, "template"), ignore_errors=True)
                    failed += self._compare(runner, scenario, options)
        finally:
            runner.close()
        if failed:
            print(f"{self.name}: failed: {', '.join(failed)}", flush=True)
        return 1 if failed else 0

    def _compare(self, runner, scenario, options):
        """Prints how a scenario went and returns the names of the runs that failed."""
        try:
            template = runner.template(scenario)
            native = runner.run(scenario, template, False)
        except (Failure, subprocess.CalledProcessError) as failure:
            print(f"{scenario.name}: FAILED natively: {failure}\n{tail(getattr(failure, 'stderr', None))}", flush=True)
            return [f"{scenario.name} natively"]
        print(f"{scenario.name}: native, status {native.status}, {native.seconds:.2f} s", flush=True)
        if options.show:
            print(native.stdout, native.stderr, native.terminal, sep="\n--\n")
            for path in sorted(native.tree):
                print(f"  {path}: {native.tree[path]}")
        failed = []
        for kind, copies in (("alone", 1), (f"{options.copies} in parallel", options.copies)):
            where = f"{'native' if options.native_only else 'beam'} {kind}"

            def run(_):
                try:
                    return runner.run(scenario, template, not options.native_only)
                except Failure as failure:
                    return failure

            with concurrent.futures.ThreadPoolExecutor(copies) as pool:
                outcomes = list(pool.map(run, range(copies)))
            for outcome in outcomes:
                lines = str(outcome).splitlines() if isinstance(outcome, Failure) else differences(native, outcome)
                if lines:
                    failed.append(f"{scenario.name} {where}")
                    print(f"{scenario.name}: {where}: DIFFERS", *lines[:60], sep="\n  ", flush=True)
                    if len(lines) > 60:
                        print(f"  ... {len(lines) - 60} more lines")
                else:
                    print(f"{scenario.name}: {where}: same, {outcome.seconds:.2f} s", flush=True)
        return failed
