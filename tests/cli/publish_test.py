"""--publish: ports of a sandbox that are reached from outside, through its supervisor."""

import hashlib
import json
import os
import resource
import shutil
import socket
import subprocess
import threading

import cli

# Connections one after the other: reads to the end, and says how much came and what.
DIGEST = """
import hashlib, socket
listener = socket.create_server(('0.0.0.0', PORT))
print('ready', flush=True)
while True:
    s, peer = listener.accept()
    digest, total = hashlib.sha256(), 0
    while data := s.recv(1 << 16):
        digest.update(data); total += len(data)
    s.sendall(b'%d %s %s' % (total, digest.hexdigest().encode(), peer[0].encode()))
    s.close()
"""

# Connections at once: every byte comes back, and the end after the end.
ECHO = """
import asyncio, socket
async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data); await writer.drain()
    writer.write_eof(); writer.close()
async def main():
    server = await asyncio.start_server(echo, HOST, PORT, backlog=1000)
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

DATAGRAMS = """
import socket
s = socket.socket(FAMILY, socket.SOCK_DGRAM)
s.bind((HOST, PORT))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data[::-1], peer)
"""

# Accepts nothing ever, or ends each connection in its own way.
RESET = """
import socket, struct
listener = socket.create_server(('0.0.0.0', PORT))
print('ready', flush=True)
while True:
    s, _ = listener.accept()
    s.recv(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
"""

NGINX = """
daemon off; pid WORK/nginx.pid; error_log WORK/error.log; USER
events { worker_connections 64; }
http {
  access_log WORK/access.log;
  client_body_temp_path WORK/tmp; proxy_temp_path WORK/tmp; fastcgi_temp_path WORK/tmp;
  uwsgi_temp_path WORK/tmp; scgi_temp_path WORK/tmp;
  server { listen 80; listen [::]:80 ipv6only=on; root WORK/html; }
}
"""


def program(text, **values):
    for name, value in values.items():
        text = text.replace(name, str(value))
    return ["python3", "-c", text]


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


class Publish(cli.Case):
    def serve(self, text, published, name="box", options=(), **values):
        words = [word for each in published for word in ("--publish", each)]
        self.ok("run", "-d", "--name", name, *words, *options, "--", *program(text, **values))
        self.wait_for_log("ready", name)

    def connect(self, port, host="127.0.0.1"):
        s = socket.create_connection((host, port), timeout=cli.DEADLINE)
        self.addCleanup(s.close)
        return s

    @staticmethod
    def read_all(s):
        data = b""
        while more := s.recv(1 << 16):
            data += more
        return data

    def test_half_close_and_who_it_is(self):
        port = free_port()
        self.serve(DIGEST, [f"{port}:80"], PORT=80)
        for data in (b"", b"x", os.urandom(100_000)):
            s = self.connect(port)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(self.read_all(s).decode(), f"{len(data)} {hashlib.sha256(data).hexdigest()} 127.0.0.1")
        # By another of the workstation's addresses, and by IPv6, which a socket of IPv4 has no name for.
        s = self.connect(port, "127.0.0.9")
        s.shutdown(socket.SHUT_WR)
        self.assertRegex(self.read_all(s).decode(), r" 127\.0\.0\.\d\Z")
        if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
            s = self.connect(port, "::1")
            s.shutdown(socket.SHUT_WR)
            self.assertTrue(self.read_all(s).decode().endswith(" " + self.ps()["box"]["address"]))

    def test_both_ways_at_once(self):
        port = free_port()
        self.serve(ECHO, [f"127.0.0.1:{port}:7000"], HOST="'0.0.0.0'", PORT=7000)
        data = os.urandom(1 << 20) * 64
        s = self.connect(port)
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = hashlib.sha256()
        total = 0
        while more := s.recv(1 << 20):
            got.update(more)
            total += len(more)
        sender.join()
        self.assertEqual((total, got.hexdigest()), (len(data), hashlib.sha256(data).hexdigest()))

    def test_a_slow_reader_holds_up_nobody(self):
        port = free_port()
        self.serve(ECHO, [f"127.0.0.1:{port}:7000"], HOST="'0.0.0.0'", PORT=7000)
        slow = self.connect(port)
        slow.setblocking(False)
        sent = 0
        # Until nothing more goes: every buffer on the way and back is full, and none grows.
        chunk = bytes(1 << 16)
        other = self.connect(port)
        quiet = 0
        while quiet < 50:
            try:
                sent += slow.send(chunk)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                other.sendall(b"ping")
                self.assertEqual(other.recv(4, socket.MSG_WAITALL), b"ping")
        self.assertLess(sent, 64 << 20)
        slow.setblocking(True)
        slow.settimeout(cli.DEADLINE)
        slow.shutdown(socket.SHUT_WR)
        self.assertEqual(len(self.read_all(slow)), sent)

    def test_many_at_once(self):
        port = free_port()
        self.serve(ECHO, [f"127.0.0.1:{port}:7000"], HOST="'0.0.0.0'", PORT=7000)
        connections = [self.connect(port) for _ in range(300)]
        for i, s in enumerate(connections):
            s.sendall(b"%d\n" % i)
        for i, s in enumerate(connections):
            want = b"%d\n" % i
            self.assertEqual(s.recv(len(want), socket.MSG_WAITALL), want)
        self.assertEqual(self.ps()["box"]["pids"], 2)  # nothing of it is in the sandbox

    def test_nobody_there_and_a_reset(self):
        ports = [free_port(), free_port()]
        self.serve(RESET, [f"127.0.0.1:{ports[0]}:7000", f"127.0.0.1:{ports[1]}:7001"], PORT=7000)
        s = self.connect(ports[0])
        s.sendall(b"x")
        self.assertRaises(ConnectionResetError, s.recv, 1)
        self.assertRaises(ConnectionResetError, lambda: self.connect(ports[1]).recv(1))

    def test_the_workstation_is_not_published(self):
        """A port that the sandbox has let go of leads to nobody, though somebody outside has it at all addresses."""
        inner, port = free_port(), free_port()
        text = ("import socket, sys\n"
                "s = socket.create_server(('0.0.0.0', PORT)); s.close()\n"
                "print('ready', flush=True)\n"
                "sys.stdin.read()\n")
        self.ok("run", "-d", "-i", "--name", "box", "--publish", f"127.0.0.1:{port}:{inner}", "--",
                *program(text, PORT=inner))
        self.wait_for_log("ready")
        with socket.create_server(("0.0.0.0", inner)) as outsider:
            outsider.settimeout(0)
            self.assertRaises(ConnectionResetError, lambda: self.connect(port).recv(1))
            self.assertRaises(BlockingIOError, outsider.accept)

    def test_its_own_number(self):
        """The published port keeps the sandbox's own from being had by its number here; it is moved."""
        port = free_port()
        self.serve(ECHO, [f"{port}:{port}"], HOST="None", PORT=port)
        for host in ("127.0.0.1", "::1") if os.path.exists("/proc/net/if_inet6") else ("127.0.0.1",):
            s = self.connect(port, host)
            s.sendall(b"word")
            self.assertEqual(s.recv(4, socket.MSG_WAITALL), b"word")

    def test_datagrams(self):
        port = free_port(socket.SOCK_DGRAM)
        self.serve(DATAGRAMS, [f"{port}:53/udp"], FAMILY="socket.AF_INET", HOST="'0.0.0.0'", PORT=53)
        clients = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.7")]
        if os.path.exists("/proc/net/if_inet6"):
            clients.append((socket.AF_INET6, "::1"))
        sockets = []
        for family, host in clients:
            s = socket.socket(family, socket.SOCK_DGRAM)
            self.addCleanup(s.close)
            s.settimeout(cli.DEADLINE)
            s.connect((host, port))  # takes answers from there alone
            sockets.append(s)
        for size in (0, 1, 1400):
            for i, s in enumerate(sockets):
                s.send(bytes([i]) + os.urandom(size))
            for i, s in enumerate(sockets):
                data = s.recv(65536)
                self.assertEqual((len(data), data[-1]), (size + 1, i))
        for i, s in enumerate(sockets):
            s.send(bytes([i]) + bytes(60000))  # of which a receive buffer has room for few
            self.assertEqual(s.recv(65536), bytes(60000) + bytes([i]))

    def test_datagrams_to_a_service_that_comes_back(self):
        port = free_port(socket.SOCK_DGRAM)
        text = ("import socket, sys\n"
                "while True:\n"
                "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53))\n"
                "  print('ready', flush=True)\n"
                "  while True:\n"
                "    data, peer = s.recvfrom(100)\n"
                "    s.sendto(data, peer)\n"
                "    if data == b'again': break\n"
                "  s.close(); print('closed', flush=True)\n"
                "  sys.stdin.readline()\n")
        process = self.popen("run", "--name", "box", "--publish", f"127.0.0.1:{port}:53/udp", "--", *program(text),
                             stdin=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), "ready\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(cli.DEADLINE)
            s.connect(("127.0.0.1", port))
            s.send(b"again")
            self.assertEqual(s.recv(100), b"again")
            self.assertEqual(process.stdout.readline(), "closed\n")
            s.send(b"lost")  # nobody is there
            process.stdin.write("\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), "ready\n")
            s.send(b"found")
            self.assertEqual(s.recv(100), b"found")
        self.ok("rm", "-f", "box")

    def test_nginx_and_curl(self):
        for program_name in ("nginx", "curl"):
            self.assertTrue(shutil.which(program_name, path=os.environ["PATH"] + ":/usr/sbin"), f"{program_name} is missing")
        self.env["PATH"] = os.environ["PATH"] + ":/usr/sbin"
        os.mkdir(os.path.join(self.work, "html"))
        data = os.urandom(20_000_000)
        with open(os.path.join(self.work, "html", "large"), "wb") as file:
            file.write(data)
        with open(os.path.join(self.work, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(NGINX.replace("WORK", self.work).replace("USER", "user root;" if os.getuid() == 0 else ""))
        port = free_port()
        self.ok("run", "-d", "--name", "box", "--publish", f"{port}:80", "--rw", self.work, "--", "nginx", "-p", self.work, "-e",
                f"{self.work}/error.log", "-c", f"{self.work}/nginx.conf")
        got = subprocess.run(["curl", "-sS", "--retry", "60", "--retry-all-errors", "--retry-delay", "1",
                              f"http://127.0.0.1:{port}/large"], capture_output=True, timeout=cli.DEADLINE, check=True)
        self.assertEqual(hashlib.sha256(got.stdout).digest(), hashlib.sha256(data).digest())
        with open(os.path.join(self.work, "access.log"), encoding="ascii") as file:
            self.assertEqual({line.split()[0] for line in file}, {"127.0.0.1"})

    def test_another_user_comes_in_there_alone(self):
        if os.getuid() != 0:
            return  # tested as root, who can be another user
        port = free_port()
        self.serve(DIGEST, [f"{port}:42042"], PORT=42042)
        text = program("import socket\n"
                       "s = socket.create_connection(('127.0.0.1', PORT)); s.shutdown(socket.SHUT_WR)\n"
                       "print(s.recv(100).decode())\n", PORT=port)
        done = subprocess.run(["setpriv", "--reuid", "nobody", "--clear-groups", *text], capture_output=True, text=True,
                              timeout=cli.DEADLINE, check=True)
        self.assertTrue(done.stdout.startswith("0 "), done.stdout)

    def test_refused(self):
        run = lambda *words: self.beam("run", "--rm", *words, "--", "true")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assert_fault(run("--publish", f"127.0.0.1:{port}:80"), 125, f"port 127.0.0.1:{port}", "in use")
            self.assert_fault(run("--publish", f"{port}:80"), 125, f"port 0.0.0.0:{port}", "in use")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            self.assert_fault(run("--publish", f"127.0.0.1:{port}:80/udp"), 125, f"port 127.0.0.1:{port}/udp", "in use")
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            first = int(file.read())
        if os.getuid() != 0 and first > 1:
            self.assert_fault(run("--publish", f"127.0.0.1:{first - 1}:80"), 125, f"port 127.0.0.1:{first - 1}",
                              "ip_unprivileged_port_start")
        self.assert_fault(run("--publish", "192.0.2.1:8080:80"), 125, "port 192.0.2.1:8080", "address of this workstation")
        self.assert_fault(run("--publish", "80"), 125, "--publish '80'", "[ADDR:]PORT:VPORT[/udp]")
        self.assert_fault(run("--publish", "::1:8080:80"), 125, "'::1'", "brackets")
        self.assert_fault(run("--publish", "8080:80", "--net", "host"), 125, "--net host")
        self.assert_fault(run("--publish", "8080:80", "--net", "none"), 125, "--net none")
        self.assertEqual(self.ps("-a"), {})

    def test_kept_over_a_freeze(self):
        port = free_port()
        self.serve(ECHO, [f"127.0.0.1:{port}:80"], HOST="'0.0.0.0'", PORT=80)
        image = os.path.join(self.work, "image")
        s = self.connect(port)
        s.sendall(b"word")
        self.assertEqual(s.recv(4, socket.MSG_WAITALL), b"word")
        refused = self.beam("freeze", "box", "-o", image)
        self.assertEqual(refused.returncode, 3, refused.stderr)  # somebody outside is connected
        s.sendall(b"more")
        self.assertEqual(s.recv(4, socket.MSG_WAITALL), b"more")
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read_all(s), b"")
        self.wait_until(lambda: self.beam("check", "box").returncode == 0, "the connection goes on")
        self.ok("freeze", "box", "-o", image)
        self.assertEqual(json.loads(self.ok("show", image, "--json"))["sandbox"]["published"], [f"127.0.0.1:{port}:80"])
        with socket.create_server(("127.0.0.1", port)):
            self.assert_fault(self.beam("thaw", image, "-d"), 1, f"port 127.0.0.1:{port}", "in use")
            self.assert_fault(self.beam("thaw", image), 125, f"port 127.0.0.1:{port}", "in use")
        self.ok("thaw", image, "-d")
        s = self.connect(port)
        s.sendall(b"word")
        self.assertEqual(s.recv(4, socket.MSG_WAITALL), b"word")

    def test_moves_with_its_sandbox(self):
        port = free_port()
        self.ok("lab", "up", "2")
        self.addCleanup(self.beam, "lab", "down")
        here = lambda ws, *words: self.ok("lab", "exec", ws, "--", cli.BEAM, *words)
        here("ws1", "run", "-d", "--name", "box", "--publish", f"127.0.0.1:{port}:80", "--",
             *program(ECHO, HOST="'0.0.0.0'", PORT=80))
        self.addCleanup(lambda: [self.beam("lab", "exec", ws, "--", cli.BEAM, "rm", "-f", "box") for ws in ("ws1", "ws2")])

        def ask():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=cli.DEADLINE) as s:
                    s.sendall(b"word")
                    return s.recv(4, socket.MSG_WAITALL)
            except ConnectionError:
                return b""

        self.wait_until(lambda: ask() == b"word", "it does not listen")
        self.wait_until(lambda: self.beam("lab", "exec", "ws1", "--", cli.BEAM, "check", "box").returncode == 0, "busy")
        with socket.create_server(("127.0.0.9", port)):  # where it goes, somebody else may have it
            here("ws1", "migrate", "box", "ws2")
        self.assertEqual(ask(), b"word")
        self.wait_until(lambda: self.beam("lab", "exec", "ws2", "--", cli.BEAM, "check", "box").returncode == 0, "busy")
        self.assertEqual(json.loads(here("ws2", "show", here("ws2", "freeze", "box").strip(), "--json"))["sandbox"]["published"],
                         [f"127.0.0.1:{port}:80"])

    def test_limits_are_the_callers(self):
        """The supervisor has more descriptors than it was started with; what runs in the sandbox has not."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lower = min(soft, 777)
        self.env["BASH_ENV"] = "/dev/null"
        text = f"ulimit -Sn {lower}; exec {cli.BEAM} run -d --name box --publish 127.0.0.1:{free_port()}:80 -- sleep 600"
        subprocess.run(["bash", "-c", text], env=self.env, check=True, timeout=cli.DEADLINE, capture_output=True)
        self.assertEqual(self.ok("exec", "box", "--", "bash", "-c", "ulimit -Sn; ulimit -Hn").split(),
                         [str(lower), str(hard) if hard != resource.RLIM_INFINITY else "unlimited"])


if __name__ == "__main__":
    cli.main()
