"""beam run: streams, statuses, environment, signals, names."""

import os
import re
import signal
import subprocess
import sys

import cli


class Streams(cli.Case):
    def test_stdout_and_stderr_are_apart(self):
        result = self.beam("run", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "out\n", "err\n"))

    def test_stdin_is_passed_on(self):
        self.assertEqual(self.ok("run", "cat", input="a\nb\n"), "a\nb\n")

    def test_binary_through_pipes(self):
        data = bytes(range(256)) * 4096
        result = subprocess.run([cli.BEAM, "run", "cat"], input=data, capture_output=True, env=self.env, timeout=cli.DEADLINE,
                                check=True)
        self.assertEqual(result.stdout, data)

    def test_files_are_the_same_open_files(self):
        path = os.path.join(self.work, "out")
        with open(path, "w", encoding="ascii") as file:
            file.write("before\n")
            file.flush()
            subprocess.run([cli.BEAM, "run", "echo", "middle"], stdout=file, env=self.env, timeout=cli.DEADLINE, check=True)
            file.seek(0, os.SEEK_CUR)
            os.write(file.fileno(), b"after\n")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "before\nmiddle\nafter\n")

    def test_the_end_of_a_pipe_is_seen_when_the_command_closes_it(self):
        # The reader must see the end although the sandbox still runs.
        reading, writing = os.pipe()
        process = self.popen("run", "--name", "box", "sh", "-c", "exec >&-; exec sleep 1000", stdout=writing, stderr=None)
        os.close(writing)
        self.assertEqual(os.read(reading, 1), b"")
        os.close(reading)
        self.assertIsNone(process.poll())
        self.ok("rm", "-f", "box")
        self.assertEqual(process.wait(cli.DEADLINE), 137)

    def test_a_writer_gets_sigpipe_when_the_command_closes_its_stdin(self):
        process = self.popen("run", "sh", "-c", "read line; exec <&-; echo closed; exec sleep 1000", stdin=subprocess.PIPE)
        process.stdin.write("x\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "closed\n")
        with self.assertRaises(BrokenPipeError):
            for _ in range(1000):
                os.write(process.stdin.fileno(), b"y" * 65536)

    def test_closed_streams(self):
        result = subprocess.run(["sh", "-c", '"$0" run sh -c "echo hello" <&- 2>&-', cli.BEAM], env=self.env, timeout=cli.DEADLINE,
                                capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, "hello\n"))

    def test_other_descriptors_are_not_passed_on(self):
        reading, writing = os.pipe()
        result = subprocess.run([cli.BEAM, "run", "sh", "-c", "ls /proc/self/fd | wc -l"], env=self.env, pass_fds=[writing],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=cli.DEADLINE, check=True)
        os.close(reading)
        os.close(writing)
        # Three streams and the directory that ls reads.
        self.assertEqual(result.stdout.strip(), "4")


class Status(cli.Case):
    def test_own_status(self):
        for status in (0, 1, 7, 124, 255):
            self.assertEqual(self.beam("run", "sh", "-c", f"exit {status}").returncode, status)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1, signal.SIGHUP):
            result = self.beam("run", "sh", "-c", f"kill -{int(number)} $$")
            self.assertEqual(result.returncode, 128 + number)
            self.assertEqual(result.stderr, "")

    def test_not_found(self):
        self.assert_fault(self.beam("run", "no-such-command"), 127, "no-such-command", "not found")
        self.assert_fault(self.beam("run", "./no/such/file"), 127, "./no/such/file")
        self.assert_fault(self.beam("run", "-d", "no-such-command"), 127, "no-such-command")
        self.assertEqual(self.ps("-a"), {})

    def test_not_executable(self):
        path = os.path.join(self.work, "data")
        with open(path, "w", encoding="ascii") as file:
            file.write("x")
        self.assert_fault(self.beam("run", "./data"), 126, "./data", "Permission denied")
        self.assert_fault(self.beam("run", "/tmp"), 126, "/tmp")
        os.chmod(path, 0o755)
        with open(path, "wb") as file:
            file.write(b"\x7fELF\0\0\0nonsense")
        self.assert_fault(self.beam("run", "./data"), 126, "./data", "Exec format error")
        self.assert_fault(self.beam("run", "-d", "./data"), 126, "./data", "Exec format error")
        self.assertEqual(self.ps("-a"), {})

    def test_missing_interpreter(self):
        path = os.path.join(self.work, "script")
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(path, 0o755)
        self.assert_fault(self.beam("run", path), 127, path, "interpreter")

    def test_script_without_interpreter_line(self):
        path = os.path.join(self.work, "script")
        with open(path, "w", encoding="ascii") as file:
            file.write('echo "$0 $1 $#"; exit 3\n')
        os.chmod(path, 0o755)
        result = self.beam("run", "./script", "one word", "two")
        self.assertEqual((result.returncode, result.stdout), (3, "./script one word 2\n"))

    def test_sandbox_ends_with_the_command(self):
        result = self.beam("run", "sh", "-c", "sleep 1000 & exit 5")
        self.assertEqual(result.returncode, 5)


class Surroundings(cli.Case):
    def test_environment(self):
        self.env["FROM_CALLER"] = "caller"
        self.env["GONE"] = "x"
        result = self.ok("run", "--env", "NEW=a=b", "--env", "FROM_CALLER=changed", "--env", "EMPTY=", "--unset-env", "GONE", "env")
        lines = result.splitlines()
        self.assertIn("NEW=a=b", lines)
        self.assertIn("FROM_CALLER=changed", lines)
        self.assertIn("EMPTY=", lines)
        self.assertFalse([line for line in lines if line.startswith("GONE=")])
        self.assertIn("FROM_CALLER=caller", self.ok("run", "env").splitlines())

    def test_search_path_is_the_sandboxes_own(self):
        bin_dir = os.path.join(self.work, "bin")
        os.mkdir(bin_dir)
        path = os.path.join(bin_dir, "only-here")
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho found\n")
        os.chmod(path, 0o755)
        self.assertEqual(self.beam("run", "only-here").returncode, 127)
        self.assertEqual(self.ok("run", "--env", f"PATH={bin_dir}:/usr/bin:/bin", "only-here"), "found\n")
        self.assertEqual(self.ok("run", "--env", "PATH=bin:/usr/bin", "only-here"), "found\n")
        self.assertEqual(self.beam("run", "--unset-env", "PATH", "true").returncode, 0)

    def test_working_directory(self):
        self.assertEqual(self.ok("run", "pwd").strip(), os.path.realpath(self.work))
        os.mkdir(os.path.join(self.work, "sub"))
        self.assertEqual(self.ok("run", "--workdir", "sub", "pwd").strip(), os.path.realpath(self.work) + "/sub")
        self.assertEqual(self.ok("run", "--workdir", "/", "pwd").strip(), "/")
        self.assert_fault(self.beam("run", "--workdir", "/no/such", "true"), 125, "/no/such")

    def test_umask_limits_and_nice(self):
        script = f'umask 037; ulimit -n 333; exec nice -n 5 "{cli.BEAM}" run sh -c "umask; ulimit -n; nice"'
        result = subprocess.run(["sh", "-c", script], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                timeout=cli.DEADLINE, check=True)
        self.assertEqual(result.stdout.split(), ["0037", "333", str(min(os.nice(0) + 5, 19))])

    def test_ignored_signals_stay_ignored(self):
        script = f'trap "" HUP TERM; exec "{cli.BEAM}" run sh -c "kill -HUP \\$\\$; kill -TERM \\$\\$; echo alive"'
        result = subprocess.run(["sh", "-c", script], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                timeout=cli.DEADLINE, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, "alive\n"))

    def test_host_name(self):
        self.assertEqual(self.ok("run", "--hostname", "elsewhere", "uname", "-n"), "elsewhere\n")
        self.assertEqual(self.ok("run", "uname", "-n").strip(), os.uname().nodename)
        self.assert_fault(self.beam("run", "--hostname", "a b", "true"), 125, "a b")

    def test_first_process(self):
        self.assertEqual(self.ok("run", "sh", "-c", "echo $PPID; tr '\\0' ' ' </proc/1/comm").split(), ["1", "beam-init"])

    def test_an_init_is_the_first_process_itself(self):
        path = os.path.join(self.work, "tini")
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho $$\nexit 9\n")
        os.chmod(path, 0o755)
        result = self.beam("run", "./tini")
        self.assertEqual((result.returncode, result.stdout), (9, "1\n"))

    def test_orphans_are_reaped(self):
        script = "(sleep 0 & echo $! >pid); while kill -0 $(cat pid) 2>/dev/null; do :; done; echo reaped"
        self.assertEqual(self.ok("run", "sh", "-c", script), "reaped\n")


class Signals(cli.Case):
    # os.write: a signal may come in the middle of a print, which must not be entered twice.
    SCRIPT = ("import os,signal,sys\n"
              "def note(number, frame):\n os.write(1, (signal.Signals(number).name + '\\n').encode())\n"
              "for s in ('HUP','INT','QUIT','TERM','USR1','USR2','ALRM','CONT','WINCH'):\n"
              " signal.signal(getattr(signal, 'SIG'+s), note)\n"
              "os.write(1, b'ready\\n')\n"
              "for line in sys.stdin: pass\n"
              "sys.exit(6)\n")

    def test_forwarded(self):
        process = self.popen("run", sys.executable, "-c", self.SCRIPT, stdin=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), "ready\n")
        for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGWINCH"):
            process.send_signal(getattr(signal, name))
            self.assertEqual(process.stdout.readline(), name + "\n")
        process.stdin.close()
        self.assertEqual(process.wait(cli.DEADLINE), 6)

    def test_unhandled_ends_the_command(self):
        process = self.popen("run", "sh", "-c", "echo ready; exec sleep 1000")
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(cli.DEADLINE), 143)


class Names(cli.Case):
    def test_given_and_in_use(self):
        self.ok("run", "--name", "box", "true")
        self.assert_fault(self.beam("run", "--name", "box", "true"), 125, "box", "in use", "beam rm box")
        self.ok("rm", "box")
        self.ok("run", "--name", "box", "true")

    def test_in_use_by_a_running_one_leaves_it_alone(self):
        self.detached("sleep", "1000")
        self.assert_fault(self.beam("run", "--name", "box", "true"), 125, "box", "in use")
        self.assertEqual(self.ps()["box"]["state"], "running")

    def test_many_at_once_with_one_name(self):
        racers = [self.popen("run", "-d", "--name", "box", "sleep", "1000") for _ in range(8)]
        statuses = sorted(racer.wait(cli.DEADLINE) for racer in racers)
        self.assertEqual(statuses, [0] + [125] * 7)
        self.assertEqual(list(self.ps("-a")), ["box"])

    def test_generated(self):
        name = self.ok("run", "-d", "true").strip()
        self.assertRegex(name, r"\A[a-z]+-[a-z]+(-\d+)?\Z")
        self.assertIn(name, self.ps("-a"))

    def test_rm_leaves_no_record(self):
        self.ok("run", "--rm", "--name", "box", "true")
        self.assertEqual(self.ps("-a"), {})
        self.assertEqual(os.listdir(os.path.join(self.home, "sandboxes")), [])
        self.assertEqual(os.listdir(os.path.join(self.runtime, "beam")), [])

    def test_longest(self):
        name = "a" * 63
        self.ok("run", "--name", name, "true")
        self.assertIn(name, self.ps("-a"))

    def test_group_is_recorded(self):
        self.detached("sleep", "1000", options=("--group", "team"))
        self.detached("sleep", "1000", name="alone")
        shown = self.ps()
        self.assertEqual((shown["box"]["group"], shown["alone"]["group"]), ("team", "alone"))


class Options(cli.Case):
    def test_words_after_the_command_are_its_own(self):
        self.assertEqual(self.ok("run", "echo", "--name", "-d", "--rm"), "--name -d --rm\n")
        self.assertEqual(self.ok("run", "--", "echo", "--", "-t"), "-- -t\n")

    def test_clusters_and_equals_signs(self):
        self.assertEqual(self.ok("run", "--name=box", "--rm", "echo", "x"), "x\n")
        self.ok("run", "-dit", "--name=box", "cat")
        self.assertTrue(self.record("box")["terminal"])

    def test_options_before_the_verb(self):
        self.assertEqual(self.ok("-q", "--log-level", "error", "run", "echo", "x"), "x\n")

    def test_trace(self):
        result = self.beam("run", "--trace", "true")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"execve\(")
        self.ok("run", "--trace-file", "trace", "true")
        with open(os.path.join(self.work, "trace"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"execve\(")

    def traced(self, *command, option="--trace"):
        result = self.beam("run", option, *command)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr

    def test_trace_shows_results(self):
        text = self.traced("sh", "-c", "true & wait $!; kill -0 $$")
        # What the kernel did after all has its result, too; so has an exec, which returns to another program.
        self.assertNotIn("passed", text)
        self.assertRegex(text, r'(?m)^2 execve\("[^"]*/sh", \["sh", "-c", "true & wait \$!; kill -0 \$\$"\], 0x\w+\) = 0 <\d+\.\d{6}>$')
        self.assertRegex(text, r'(?m)^2 openat\(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY\|O_CLOEXEC\) = 3 <')
        self.assertRegex(text, r"(?m)^2 wait4\((-1|3 \[host \d+\]), \[\{WIFEXITED\(s\) && WEXITSTATUS\(s\) == 0\}\], \w+, NULL\) = 3 \[host \d+\] <")
        self.assertRegex(text, r"(?m)^2 kill\(2 \[host \d+\], 0\) = 0 <")
        self.assertRegex(text, r"(?m)^2 \w+\(.*\) = -1 ENOENT \(No such file or directory\) <")

    def test_trace_of_classes(self):
        text = self.traced("sh", "-c", "true & wait; uname -n", option="--trace=process,uname")
        self.assertRegex(text, r'(?m)^\d+ uname\(\{sysname="Linux", nodename="[^"]*", release="[^"]*", \.\.\.\}\) = 0 <')
        self.assertNotIn("openat(", text)
        self.assertIn("execve(", text)

    def test_detached_with_open_stdin(self):
        self.detached("cat", options=("-i",))
        self.assertEqual(self.ps()["box"]["state"], "running")
        self.ok("kill", "box")
        self.assertEqual(self.beam("wait", "box").returncode, 143)

    def test_detached_with_a_terminal_that_says_much_at_once(self):
        # The output of the terminal races with the news that COMMAND has been executed.
        for i in range(20):
            name = self.ok("run", "-d", "-t", "--name", f"box{i}", "--", "sh", "-c", "seq 1 3000").strip()
            self.ok("wait", name)
            self.assertEqual(self.ok("logs", name).split()[-1], "3000")

    def test_detached_stdin_is_empty(self):
        self.detached("cat")
        self.assertEqual(self.beam("wait", "box").returncode, 0)

    def test_detached_gives_up_the_callers_streams(self):
        # `$(...)` and a pipe behind it wait for every holder of the stream.
        result = subprocess.run(["sh", "-c", '"$0" run -d --name box sleep 1000 | cat', cli.BEAM], env=self.env, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=cli.DEADLINE, check=True)
        self.assertEqual(result.stdout, "box\n")

    def test_help(self):
        result = self.beam("run", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for option in ("--name", "--group", "--detach", "--rm", "--tty", "--interactive", "--env", "--unset-env", "--workdir",
                       "--hostname", "--trace", "--trace-file"):
            self.assertRegex(result.stdout, re.escape(option) + r"\b")


if __name__ == "__main__":
    cli.main()
