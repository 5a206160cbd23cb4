#!/usr/bin/python3
"""Ways out of a mount view, each tried by a program in it: usage: escapes_test.py VIEW_RUN

What a program must not reach is a secret below a hidden directory, and a file of the workstation that it may read but not
change. docs/security.md names the test of each line."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

VIEW_RUN = None

PROLOGUE = """
import ctypes, errno, fcntl, os, signal, socket, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
top = sys.argv[1]
hidden, plain, outside = top + "/hidden", top + "/plain", int(sys.argv[2])
def call(number, *args):
    got = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return got if got >= 0 else -ctypes.get_errno()
def refused(what):
    try:
        result = what()
    except OSError as error:
        return error.errno
    if isinstance(result, int) and not isinstance(result, bool) and result < 0:
        return -result
    print("not refused:", result)
    sys.exit(1)
def secret(text):
    if b"SECRET" in text:
        print("read the secret")
        sys.exit(1)
"""


class EscapesTest(unittest.TestCase):
    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="escapes."))
        os.mkdir(self.top + "/hidden")
        for name, text in (("hidden/key", "SECRET"), ("plain", "plain")):
            with open(f"{self.top}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        self.outside = subprocess.Popen(["sleep", "1000"])  # pylint: disable=consider-using-with
        self.before = self.state()

    def tearDown(self):
        self.assertIsNone(self.outside.poll(), "the process outside has ended")
        self.outside.kill()
        self.outside.wait()
        self.assertEqual(self.state(), self.before, "the workstation's files have changed")
        subprocess.run(["chmod", "-R", "u+rwX", self.top], check=False)
        shutil.rmtree(self.top)

    def state(self):
        found = {}
        for name in ("hidden/key", "plain", "hidden", "."):
            path = f"{self.top}/{name}"
            status = os.stat(path)
            found[name] = [status.st_mode, status.st_uid, status.st_mtime_ns if name != "." else 0, status.st_nlink if name != "." else 0]
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found[name].append(hashlib.sha256(file.read()).hexdigest())
                found[name].append(os.listxattr(path))
        found["names"] = sorted(name for name in os.listdir(self.top) if name != "layer")
        return found

    def inside(self, code, *options):
        program = PROLOGUE + textwrap.dedent(code) + "\nprint('END')\n"
        done = subprocess.run([VIEW_RUN, self.top + "/layer", "--hide", self.top + "/hidden", *options, "--", "/usr/bin/python3", "-c",
                               program, self.top, str(self.outside.pid)], cwd=self.top, text=True, capture_output=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1:]), (0, ["END"]), done.stdout + done.stderr)

    def test_hidden_by_every_name(self):
        self.inside("""
            assert os.listdir(hidden) == [], os.listdir(hidden)
            os.symlink(hidden, "link"); os.chdir("/")
            for path in (hidden + "/key", top + "/link/key", "/proc/self/root" + hidden + "/key", "/proc/self/cwd" + hidden + "/key",
                         top + "/../" + top.split("/")[-1] + "/hidden/key", "/proc/1/root" + hidden + "/key",
                         "/proc/thread-self/root" + hidden + "/key", "/dev/fd/../root" + hidden + "/key"):
                assert refused(lambda: open(path)) in (errno.ENOENT, errno.EACCES), path
            fd = os.open("/", os.O_PATH)
            assert refused(lambda: os.open(hidden[1:] + "/key", os.O_RDONLY, dir_fd=fd)) == errno.ENOENT
            assert refused(lambda: os.link(hidden + "/key", top + "/stolen")) == errno.ENOENT
            assert refused(lambda: os.rename(hidden, top + "/moved")) == errno.EBUSY
            assert refused(lambda: os.execv(hidden + "/key", ["x"])) == errno.ENOENT
            assert refused(lambda: os.chdir(hidden + "/key")) in (errno.ENOENT, errno.ENOTDIR)
        """)

    def test_hidden_through_a_bind(self):
        self.inside("""
            assert refused(lambda: open("/mnt/bound/hidden/key")) in (errno.ENOENT, errno.EACCES)
            assert open("/mnt/bound/plain").read() == "plain"
        """, "--bind", self.top + ":/mnt/bound")

    def test_race_of_threads(self):
        # One thread changes where a path leads while another one opens it.
        self.inside("""
            os.mkdir(top + "/race"); open(top + "/race/key", "w").write("open")
            os.symlink("race", top + "/turn")
            stop = []
            def turn():
                i = 0
                while not stop:
                    os.symlink("race" if i % 2 else hidden, top + "/turn.new"); os.replace(top + "/turn.new", top + "/turn"); i += 1
            path = ctypes.create_string_buffer((top + "/race/key").encode() + b"\\0" * 64)
            def rewrite():
                while not stop:
                    path.value = (hidden + "/key").encode(); path.value = (top + "/race/key").encode()
            threads = [threading.Thread(target=turn), threading.Thread(target=rewrite)]
            for thread in threads: thread.start()
            for _ in range(1500):
                for what in (lambda: libc.open(path, 0), lambda: os.open(top + "/turn/key", os.O_RDONLY)):
                    try: fd = what()
                    except OSError: continue
                    if fd >= 0:
                        secret(os.read(fd, 100)); os.close(fd)
            stop.append(1)
            for thread in threads: thread.join()
        """)

    def test_descriptors_of_the_workstation(self):
        self.inside("""
            fd = os.open(plain, os.O_RDONLY)
            assert refused(lambda: os.write(fd, b"x")) == errno.EBADF
            assert refused(lambda: os.ftruncate(fd, 0)) == errno.EINVAL
            os.fchmod(fd, 0o777); os.utime(fd, (1, 1)); os.setxattr(fd, "user.x", b"x")
            flags = ctypes.c_int(0x40)
            assert refused(lambda: call(16, fd, 0x40086602, ctypes.byref(flags))) == errno.ENOTTY
            again = os.open("/proc/self/fd/%d" % fd, os.O_RDWR); os.write(again, b"changed"); os.close(again)
            directory = os.open(top, os.O_RDONLY)
            os.mkdir("made", dir_fd=directory); os.unlink("plain", dir_fd=directory); os.fchmod(directory, 0o700)
            assert refused(lambda: call(304, directory, 0, 0)) == errno.EPERM       # open_by_handle_at
            assert refused(lambda: call(303, directory, b"plain", 0, 0, 0)) == errno.EOPNOTSUPP
            memory = call(319, b"m", 0)                                             # memfd_create, and executed
            os.write(memory, open("/bin/true", "rb").read())
            if os.fork() == 0:
                call(322, memory, b"", 0, 0, 0x1000); os._exit(9)
            assert os.wait()[1] == 0
        """)

    def test_fds_given_from_one_to_another(self):
        self.inside("""
            one, other = socket.socketpair()
            if os.fork() == 0:
                socket.send_fds(one, [b"x"], [os.open("/", os.O_PATH), os.open(top, os.O_RDONLY)]); os._exit(0)
            _, fds, _, _ = socket.recv_fds(other, 10, 4)
            os.wait()
            assert refused(lambda: os.open(hidden[1:] + "/key", os.O_RDONLY, dir_fd=fds[0])) == errno.ENOENT
            assert refused(lambda: os.open("hidden/key", os.O_RDONLY, dir_fd=fds[1])) == errno.ENOENT
            os.fchdir(fds[1])
            assert refused(lambda: open("hidden/key")) == errno.ENOENT
        """)

    def test_namespaces_and_mounts(self):
        self.inside("""
            assert refused(lambda: call(272, 0x10000000)) == errno.EPERM            # unshare(CLONE_NEWUSER)
            assert refused(lambda: call(272, 0x00020000)) == errno.EPERM
            assert refused(lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0)) == errno.EPERM
            assert refused(lambda: call(308, 0, 0)) in (errno.EPERM, errno.EINVAL)  # setns of what is no name space
            assert refused(lambda: call(165, b"/", b"/mnt", 0, 0x1000, 0)) == errno.EPERM
            assert refused(lambda: call(166, b"/", 0)) == errno.EPERM
            assert refused(lambda: call(155, b"/", b"/")) == errno.EPERM
            assert refused(lambda: call(428, -100, b"/", 1)) == errno.EPERM         # open_tree
            assert refused(lambda: call(430, b"tmpfs", 0)) == errno.EPERM           # fsopen
            if os.geteuid() != 0: assert refused(lambda: os.chroot("/")) == errno.EPERM
        """)

    def test_processes_outside(self):
        self.inside("""
            for pid in (outside, os.getppid()):
                if pid > 0 and pid != os.getpid():
                    assert refused(lambda: os.kill(pid, 0)) == errno.ESRCH
            assert refused(lambda: os.kill(outside, signal.SIGKILL)) == errno.ESRCH
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            try: os.kill(-1, signal.SIGTERM)
            except OSError: pass
            assert refused(lambda: os.killpg(outside, signal.SIGKILL)) == errno.ESRCH
            assert refused(lambda: call(101, 16, outside, 0, 0)) in (errno.EPERM, errno.ESRCH)
            buffer = ctypes.create_string_buffer(8)
            vector = struct.pack("QQ", ctypes.addressof(buffer), 8)
            for number in (310, 311):                                                # process_vm_readv, process_vm_writev
                assert refused(lambda: call(number, outside, vector, 1, vector, 1, 0)) in (errno.EPERM, errno.ESRCH)
            assert refused(lambda: call(434, outside, 0)) == errno.ESRCH            # pidfd_open
            assert refused(lambda: open("/proc/%d/environ" % outside)) == errno.ENOENT
            assert refused(lambda: os.readlink("/proc/%d/cwd" % outside)) == errno.ENOENT
        """)

    def test_calls_that_go_round(self):
        self.inside("""
            assert refused(lambda: call(425, 8, 0)) == errno.ENOSYS                 # io_uring_setup
            assert refused(lambda: call(250, 0, 0, 0, 0)) == errno.ENOSYS           # keyctl
            assert refused(lambda: call(248, b"user", b"x", b"y", 1, 0)) == errno.ENOSYS
            assert refused(lambda: call(321, 0, 0, 0)) == errno.EPERM               # bpf
            assert refused(lambda: call(323, 0)) == errno.ENOSYS                    # userfaultfd
            assert refused(lambda: fcntl.ioctl(0, 0x5412, b"x")) in (errno.EIO, errno.ENOTTY)
        """)

    def test_beams_own(self):
        self.inside("""
            assert refused(lambda: os.listdir(top + "/layer")) == errno.ENOENT
            assert refused(lambda: os.setxattr(plain, "user.beam.from", b"etc/shadow")) == errno.EPERM
            assert not [n for n in os.listxattr(plain) if n.startswith("user.beam")]
            os.chmod(plain, 0o600)
            assert not [n for n in os.listxattr(plain) if n.startswith("user.beam")]
        """)

    def test_abstract_sockets(self):
        server = socket_outside()
        try:
            self.inside(f"""
                client = socket.socket(socket.AF_UNIX)
                assert refused(lambda: client.connect("\\0beam-escape-{os.getpid()}")) in (errno.EPERM, errno.ECONNREFUSED)
            """)
        finally:
            server.close()


def socket_outside():
    import socket  # pylint: disable=import-outside-toplevel
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"\0beam-escape-{os.getpid()}")
    server.listen(1)
    return server


if __name__ == "__main__":
    VIEW_RUN = sys.argv.pop(1)
    unittest.main()
