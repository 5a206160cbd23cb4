"""beam run --net: a network of its own for each sandbox, the workstation's, and none."""

import json
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
        self.wait_for(lambda: "ready" in self.ok("logs", name), f"{name} listens")

    def wait_for(self, condition, what):
        for _ in range(300):
            if condition():
                return
            subprocess.run(["sleep", "0.1"], check=True)
        self.fail(what)

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

    def test_none_reaches_nothing(self):
        done = self.beam("run", "--rm", "--net", "none", "--", *program(CLIENT, ADDRESS="192.0.2.1", PORT=80))
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "Network is unreachable"))

    def test_host_is_the_workstation(self):
        with socket.socket() as outside:
            outside.bind(("127.0.0.1", 0))
            outside.listen()
            done = self.beam("run", "--rm", "--net", "host", "--", "python3", "-c",
                             f"import socket; print(socket.create_connection(('127.0.0.1', {outside.getsockname()[1]})).getpeername()[0])")
            self.assertEqual((done.returncode, done.stdout.strip()), (0, "127.0.0.1"))

    def test_wrong_word(self):
        done = self.beam("run", "--net", "bridge", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("--net 'bridge'", done.stderr)


if __name__ == "__main__":
    cli.main()
