"""beam run --net: a network of its own for each sandbox, the workstation's, and none."""

import json
import os
import socket
import subprocess

import cli

SERVER = r"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", PORT))
s.listen()
print("ready", flush=True)
while True:
    c, peer = s.accept()
    c.sendall(("hello " + peer[0] + "\n").encode())
    c.close()
"""
CLIENT = r"""
import socket
try:
    with socket.create_connection(("ADDRESS", PORT), 5) as c:
        print(c.makefile().readline().strip())
except OSError as error:
    print(error.strerror)
"""


def program(text, **values):
    for name, value in values.items():
        text = text.replace(name, str(value))
    return ["python3", "-c", text]


class Network(cli.Case):
    def serve(self, name, port, *options):
        self.ok("run", "-d", "--name", name, *options, "--", *program(SERVER, PORT=port))
        self.wait_for_log("ready", name)

    def ask(self, name, address, port):
        return self.ok("exec", name, "--", *program(CLIENT, ADDRESS=address, PORT=port)).strip()

    def test_same_port_in_two_sandboxes(self):
        self.serve("one", 80)
        self.serve("two", 80)
        for name in ("one", "two"):
            self.assertEqual(self.ask(name, "127.0.0.1", 80), "hello 127.0.0.1")
            address = next(box["address"] for box in json.loads(self.ok("ps", "--json")) if box["name"] == name)
            self.assertEqual(self.ask(name, address, 80), f"hello {address}")
        self.ok("rm", "-f", "one", "two")

    def test_outside_is_no_part_of_it(self):
        with socket.socket() as outside:
            outside.bind(("127.0.0.1", 0))
            outside.listen()
            port = outside.getsockname()[1]
            self.serve("box", port)
            self.assertEqual(self.ask("box", "127.0.0.1", port), "hello 127.0.0.1")
            self.assertEqual(self.ask("box", "::1", port), "Connection refused")
            self.ok("rm", "-f", "box")
            done = self.beam("run", "--rm", "--", *program(CLIENT, ADDRESS="127.0.0.1", PORT=port))
            self.assertEqual(done.stdout.strip(), "Connection refused")

    def inodes(self, name):
        """Those of all descriptors of a sandbox, as links of /proc name them."""
        waiting = json.loads(self.ok("tree", name, "--json"))
        waiting = waiting if isinstance(waiting, list) else [waiting]
        while waiting:
            process = waiting.pop()
            waiting += process["children"]
            directory = f"/proc/{process['pid']}/fd"
            for fd in os.listdir(directory):
                yield os.readlink(f"{directory}/{fd}")

    def realised(self, name, protocol, port):
        """Where the kernel has the sandbox's sockets of that port. Other sandboxes may have the same one."""
        own = set(self.inodes(name))
        for path, columns in ((f"/proc/net/{protocol}", 8), (f"/proc/net/{protocol}6", 32)):
            with open(path, encoding="ascii") as table:
                for line in table.readlines()[1:]:
                    address, inode = line.split()[1], line.split()[9]
                    if f"socket:[{inode}]" in own and int(address[-4:], 16) == port:
                        yield socket.inet_ntoa(bytes.fromhex(address[columns - 8:columns])[::-1])

    def knock(self, address, port, source=None, user=None):
        """What somebody outside hears there: the sandbox's words, or nothing."""
        text = program("import socket\n"
                       "s = socket.socket()\n"
                       "SOURCE and s.bind((SOURCE, 0))\n"
                       "s.settimeout(5)\n"
                       "try:\n  s.connect(('ADDRESS', PORT)); print(s.recv(100).decode())\n"
                       "except ConnectionError: print()\n", SOURCE=repr(source), ADDRESS=address, PORT=port)
        lower = ["setpriv", "--reuid", user, "--clear-groups"] if user else []
        done = subprocess.run([*lower, *text], capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.stderr, "")
        return done.stdout.strip()

    def test_nobody_comes_in(self):
        self.serve("box", 42042)
        places = list(self.realised("box", "tcp", 42042))
        self.assertEqual(len(places), 1)
        self.assertRegex(places[0], r"\A127\.(?!0\.0\.1\Z)")
        self.assertEqual(self.knock(places[0], 42042), "")
        self.assertEqual(self.knock("127.0.0.1", 42042), "")
        if os.getuid() == 0:
            # Another user, also from the very addresses that the sandbox's own connections have.
            self.assertEqual(self.knock(places[0], 42042, user="nobody"), "")
            self.assertEqual(self.knock(places[0], 42042, source=places[0], user="nobody"), "")
        self.assertEqual(self.ask("box", "127.0.0.1", 42042), "hello 127.0.0.1")
        self.ok("rm", "-f", "box")

    def test_no_datagram_comes_in(self):
        text = ("import signal, socket\n"
                "a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('0.0.0.0', 42043)); a.settimeout(60)\n"
                "print('ready', flush=True)\n"
                "print(a.recv(100).decode(), flush=True)\n"
                "signal.pause()\n")  # the end of the first process would end the sender's, too
        self.ok("run", "-d", "--name", "box", "--", "python3", "-c", text)
        self.wait_for_log("ready")
        places = list(self.realised("box", "udp", 42043))
        self.assertEqual(len(places), 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
            outside.sendto(b"from outside", (places[0], 42043))
        self.ok("exec", "box", "--", "python3", "-c",
                "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'from inside', ('127.0.0.1', 42043))")
        self.wait_for_log("from")
        self.assertEqual(self.ok("logs", "box"), "ready\nfrom inside\n")
        self.ok("rm", "-f", "box")

    def test_no_way_round(self):
        """Data that goes with the connection itself (tcp(7) TCP_FASTOPEN) names its address in a message."""
        text = ("import errno, socket\n"
                "for send in (lambda s: s.sendmsg([b'x'], [], socket.MSG_FASTOPEN, ('127.0.0.1', PORT)),\n"
                "             lambda s: s.sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', PORT))):\n"
                "  try: send(socket.socket()); print('sent')\n"
                "  except OSError as error: print(errno.errorcode[error.errno])\n")
        with socket.socket() as outside:
            outside.bind(("127.0.0.1", 0))
            outside.listen()
            done = self.beam("run", "--rm", "--", *program("".join(text), PORT=outside.getsockname()[1]))
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "ENOTSUP\nENOTSUP\n", ""))
            outside.settimeout(0)
            self.assertRaises(BlockingIOError, outside.accept)

    def test_no_way_round_by_the_other_family(self):
        """A datagram socket of IPv6 may be connected to an address of IPv4 as it is, which getaddrinfo(3) does."""
        text = ("import ctypes, socket, struct\n"
                "libc = ctypes.CDLL(None, use_errno=True)\n"
                "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
                "to = struct.pack('=HH', socket.AF_INET, socket.htons(PORT)) + bytes([127, 0, 0, 1]) + bytes(8)\n"
                "print(libc.connect(s.fileno(), to, 16), s.getsockname()[0], s.getpeername()[0])\n"
                "try: s.send(b'x')\n"
                "except ConnectionRefusedError: pass\n"
                "print(len(socket.getaddrinfo(None, 80, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)))\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
            outside.bind(("127.0.0.1", 0))
            done = self.beam("run", "--rm", "--net", "none", "--", *program(text, PORT=outside.getsockname()[1]))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout, "0 ::ffff:127.0.0.1 ::ffff:127.0.0.1\n2\n")
            outside.settimeout(0)
            self.assertRaises(BlockingIOError, outside.recv, 1)

    def test_none_reaches_nothing(self):
        done = self.beam("run", "--rm", "--net", "none", "--", *program(CLIENT, ADDRESS="192.0.2.1", PORT=80))
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "Network is unreachable"))
        # Families and protocols that the view has no part in, and datagrams.
        text = ("import errno, socket\n"
                "def told(call):\n"
                "  try: call(); return 'done'\n"
                "  except OSError as error: return errno.errorcode[error.errno]\n"
                "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                "print(told(lambda: u.sendto(b'x', ('192.0.2.1', 9))), told(lambda: u.sendmsg([b'x'], [], 0, ('192.0.2.1', 9))))\n"
                "print(told(lambda: u.connect(('192.0.2.1', 9))))\n"
                "print(told(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)))\n"
                "print(told(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)))\n"
                "print(told(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)))\n"
                "print(told(lambda: socket.socket(40, socket.SOCK_STREAM)))\n"  # AF_VSOCK
                "a, b = socket.socketpair(); a.send(b'x'); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\n")
        done = self.beam("run", "--rm", "--net", "none", "--", "python3", "-c", text)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "ENETUNREACH ENETUNREACH\nENETUNREACH\nEACCES\nEACCES\nEPROTONOSUPPORT\nEAFNOSUPPORT\n")

    def test_host_is_the_workstation(self):
        with socket.socket() as outside:
            outside.bind(("127.0.0.1", 0))
            outside.listen()
            done = self.beam("run", "--rm", "--net", "host", "--", "python3", "-c",
                             f"import socket; print(socket.create_connection(('127.0.0.1', {outside.getsockname()[1]})).getpeername()[0])")
            self.assertEqual((done.returncode, done.stdout.strip()), (0, "127.0.0.1"))

    def address(self, name):
        return self.ps()[name]["address"]

    def test_a_group_is_one_network(self):
        """TCP between sandboxes of a group, over both families, privileged ports and others; and no other's."""
        ports = (80, 8080)
        for port in ports:
            self.serve(f"server{port}", port, "--group", "g")
        self.ok("run", "-d", "--name", "client", "--group", "g", "--", "sleep", "1000")
        self.ok("run", "-d", "--name", "alone", "--group", "other", "--", "sleep", "1000")
        own = self.address("client")
        self.assertEqual(len({self.address(name) for name in ("server80", "server8080", "client")}), 3)
        for port in ports:
            there = self.address(f"server{port}")
            self.assertEqual(self.ask("client", there, port), f"hello {own}")
            self.assertEqual(self.ask("client", there, port + 1), "Connection refused")
            # In a group of its own the address is the sandbox's own, or nobody's.
            self.assertIn(self.ask("alone", there, port), ("Connection refused", "No route to host"))
            self.assertEqual(self.ask("client", "127.0.0.1", port), "Connection refused")
        self.assertEqual(self.ask("client", "100.64.1.200", 80), "No route to host")
        self.ok("rm", "-f", "server80")
        self.assertEqual(self.ask("client", "100.64.0.1", 80), "No route to host")

    def test_both_ends_of_a_group(self):
        """What each end says of itself and of the other, over IPv4 and IPv6, TCP and UDP."""
        server = """
import socket
t4 = socket.create_server(('0.0.0.0', 7000))
t6 = socket.create_server(('::', 7001), family=socket.AF_INET6)
d6 = socket.create_server(('::', 7002), family=socket.AF_INET6, dualstack_ipv6=True)
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); u.bind(('::', 7003))
print('ready', flush=True)
for s in (t4, t6, d6, d6):
    c, peer = s.accept()
    print(peer[0], c.getpeername()[0], c.getsockname()[:2], flush=True)
    c.sendall(c.recv(10)); c.close()
for i in range(2):
    data, peer = u.recvfrom(100)
    print(peer[0], data.decode(), flush=True)
    u.sendto(data.upper(), peer)
"""
        client = """
import socket, sys
four, six = sys.argv[1:]
for family, to in ((socket.AF_INET, (four, 7000)), (socket.AF_INET6, (six, 7001)), (socket.AF_INET, (four, 7002)), (socket.AF_INET6, (six, 7002))):
    c = socket.socket(family); c.connect(to); c.sendall(b'x'); assert c.recv(10) == b'x'
    print(c.getsockname()[0], c.getpeername()[:2])
for family, to in ((socket.AF_INET, (four, 7003)), (socket.AF_INET6, (six, 7003))):
    c = socket.socket(family, socket.SOCK_DGRAM); c.settimeout(30); c.sendto(b'hello', to)
    print(*c.recvfrom(10)[:1], c.getsockname()[0])
"""
        self.ok("run", "-d", "--name", "server", "--group", "g", "--", "python3", "-c", server)
        self.wait_for_log("ready", "server")
        there = self.address("server")
        six = "fd62:6561:6d00::6440:" + there.rsplit(".", 1)[1]
        done = self.beam("run", "--name", "client", "--group", "g", "--", "python3", "-c", client, there, six)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        own, own6 = there.replace("0.1", "0.2"), six[:-1] + "2"
        self.assertEqual(done.stdout.splitlines(), [
            f"{own} ('{there}', 7000)", f"{own6} ('{six}', 7001)", f"{own} ('{there}', 7002)", f"{own6} ('{six}', 7002)",
            "b'HELLO' 0.0.0.0", "b'HELLO' ::"])
        self.assertEqual(self.ok("wait", "server"), "")
        mapped, mapped_own = f"::ffff:{there}", f"::ffff:{own}"
        self.assertEqual(self.ok("logs", "server").splitlines(), [
            "ready", f"{own} {own} ('{there}', 7000)", f"{own6} {own6} ('{six}', 7001)",
            f"{mapped_own} {mapped_own} ('{mapped}', 7002)", f"{own6} {own6} ('{six}', 7002)",
            f"{mapped_own} hello", f"{own6} hello"])

    def test_a_port_that_the_workstation_has_taken(self):
        with socket.socket() as outside:
            outside.bind(("0.0.0.0", 0))
            outside.listen()
            port = outside.getsockname()[1]
            self.serve("server", port, "--group", "g")
            self.ok("run", "-d", "--name", "client", "--group", "g", "--", "sleep", "1000")
            self.assertEqual(self.ask("client", self.address("server"), port), f"hello {self.address('client')}")
            # Where the sandbox has nothing, nobody answers in its place.
            self.assertEqual(self.ask("server", self.address("client"), port), "Connection refused")

    def test_the_workstation_answers_for_nobody(self):
        """A port that nobody of the group has leads to nothing, though somebody outside has it at all addresses."""
        text = """
import socket, sys
*hosts, = sys.argv[1:]
for host in hosts:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(5)
    s.sendto(b'loose', (host, PORT))
    t = socket.socket(family, socket.SOCK_DGRAM); t.settimeout(5)
    t.connect((host, PORT)); print(t.getpeername()[:2] == (host, PORT))
    try: t.send(b'connected'); t.recv(10)
    except OSError as error: print(error.strerror)
"""
        self.ok("run", "-d", "--name", "other", "--group", "g", "--", "sleep", "1000")
        four = self.address("other")
        hosts = ["127.0.0.1", "::1", four, "fd62:6561:6d00::6440:" + four.rsplit(".", 1)[1], "100.64.0.2", "100.64.0.77"]
        for outsider in (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)):
            with outsider:
                outsider.settimeout(0)
                outsider.bind(("", 0))
                done = self.beam("run", "--rm", "--group", "g", "--", *program(text, PORT=outsider.getsockname()[1]), *hosts)
                self.assertEqual(done.stdout.splitlines(), ["True", "Connection refused"] * len(hosts), done.stderr)
                self.assertRaises(BlockingIOError, outsider.recv, 100)

    def test_a_port_that_was_let_go(self):
        """It leads to nobody either, once a service outside has it; and IPv6 leads to no service of IPv4 alone."""
        with socket.create_server(("0.0.0.0", 0)) as outsider:
            port = outsider.getsockname()[1]
        text = f"import socket, sys; s = socket.create_server(('0.0.0.0', {port})); s.close(); print('ready', flush=True); sys.stdin.read()"
        self.ok("run", "-d", "-i", "--name", "box", "--", "python3", "-c", text)
        self.wait_for_log("ready")
        with socket.create_server(("0.0.0.0", port)) as outsider:
            outsider.settimeout(0)
            for host in ("127.0.0.1", self.address("box")):
                self.assertEqual(self.ask("box", host, port), "Connection refused")
            self.assertRaises(BlockingIOError, outsider.accept)
        self.serve("server", 80, "--group", "g")
        self.ok("run", "-d", "--name", "client", "--group", "g", "--", "sleep", "1000")
        four = self.address("server")
        self.assertEqual(self.ask("client", "fd62:6561:6d00::6440:" + four.rsplit(".", 1)[1], 80), "Connection refused")
        self.assertEqual(self.ask("client", four, 80), f"hello {self.address('client')}")

    def test_datagrams_at_a_privileged_port(self):
        """Of a client that is connected, and so takes answers from there alone: within a sandbox, and from another."""
        server = """
import socket
s = socket.socket(FAMILY, socket.SOCK_DGRAM); s.bind((HOST, PORT))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data.upper(), peer)
"""
        client = """
import socket, sys
for host in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30)
    s.connect((host, PORT)); s.send(b'hello'); print(s.recv(10).decode(), s.getpeername()[:2])
"""
        for port in (53, 5353):
            for family, host, loopbacks in (("AF_INET", "0.0.0.0", ["127.0.0.1"]), ("AF_INET6", "::", ["127.0.0.1", "::1"])):
                self.ok("run", "-d", "--name", "server", "--group", "g", "--",
                        *program(server, FAMILY=f"socket.{family}", HOST=repr(host), PORT=port))
                self.wait_for_log("ready", "server")
                there = self.address("server")
                addresses = [there] + (["fd62:6561:6d00::6440:" + there.rsplit(".", 1)[1]] if family == "AF_INET6" else [])
                for how, names in ((["exec", "server"], loopbacks + addresses), (["run", "--rm", "--group", "g"], addresses)):
                    done = self.beam(*how, "--", *program(client, PORT=port), *names)
                    self.assertEqual(done.stdout.splitlines(), [f"HELLO ('{name}', {port})" for name in names],
                                     (host, how, done.stderr))
                self.ok("rm", "-f", "server")

    def test_many_join_at_once(self):
        boxes = [self.popen("run", "-d", "--group", "g", "--", "sleep", "1000") for _ in range(20)]
        for box in boxes:
            self.assertEqual(box.wait(), 0, box.stderr.read() if box.returncode else "")
        self.assertEqual(sorted(int(box["address"].split(".")[3]) for box in self.ps().values()), list(range(1, 21)))

    def test_wrong_word(self):
        done = self.beam("run", "--net", "bridge", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("--net 'bridge'", done.stderr)


if __name__ == "__main__":
    cli.main()
