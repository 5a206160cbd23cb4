"""Debian's own servers and clients in two sandboxes of one group, each with the sandbox's address and its usual port."""

import hashlib
import os
import shutil

import cli

NGINX = """
daemon off; pid WORK/nginx.pid; error_log WORK/error.log; USER
worker_processes 2;
events { worker_connections 64; }
http {
  access_log WORK/access.log;
  client_body_temp_path WORK/tmp; proxy_temp_path WORK/tmp; fastcgi_temp_path WORK/tmp;
  uwsgi_temp_path WORK/tmp; scgi_temp_path WORK/tmp;
  server { listen 80; listen [::]:80 ipv6only=on; root WORK/html; }
}
"""

ASYNCIO_SERVER = """
import asyncio
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, peer): self.transport.sendto(data[::-1], peer)
async def stream(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper()); await writer.drain()
    writer.close()
async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, ('0.0.0.0', 9000))
    server = await asyncio.start_server(stream, None, 9000)
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

ASYNCIO_CLIENT = """
import asyncio, sys
four, six = sys.argv[1:]
class Ask(asyncio.DatagramProtocol):
    def __init__(self): self.answer = asyncio.get_running_loop().create_future()
    def connection_made(self, transport): transport.sendto(b'datagram')
    def datagram_received(self, data, peer): self.answer.set_result((data, peer[0]))
async def ask(number, to):
    reader, writer = await asyncio.open_connection(to, 9000)
    total = 0
    for i in range(20):
        writer.write(b'%d %d\\n' % (number, i) + b'x' * 20000 + b'\\n'); await writer.drain()
        assert await reader.readline() == b'%d %d\\n' % (number, i)
        total += len(await reader.readline())
    writer.close()
    return total
async def main():
    print(sum(await asyncio.gather(*(ask(n, six if n % 2 else four) for n in range(40)))))
    _, asked = await asyncio.get_running_loop().create_datagram_endpoint(Ask, remote_addr=(four, 9000))
    print(await asyncio.wait_for(asked.answer, 30) == (b'datagram'[::-1], four))
asyncio.run(main())
"""


class GroupPrograms(cli.Case):
    def setUp(self):
        super().setUp()
        self.env["PATH"] = os.environ["PATH"] + ":/usr/sbin"

    def needs(self, package, program):
        self.assertTrue(shutil.which(program, path=self.env["PATH"]), f"{program} is missing: install {package}")

    def serve(self, *command):
        """Starts it, and gives its addresses."""
        self.ok("run", "-d", "--name", "server", "--group", "g", "--rw", self.work, "--", *command)
        address = self.ps()["server"]["address"]
        return address, "fd62:6561:6d00::6440:" + address.rsplit(".", 1)[1]

    def client(self, *command):
        done = self.beam("run", "--rm", "--group", "g", "--", *command)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_nginx_and_curl(self):
        self.needs("nginx-light", "nginx")
        self.needs("curl", "curl")
        os.mkdir(os.path.join(self.work, "html"))
        data = os.urandom(20_000_000)
        with open(os.path.join(self.work, "html", "large"), "wb") as file:
            file.write(data)
        with open(os.path.join(self.work, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(NGINX.replace("WORK", self.work).replace("USER", "user root;" if os.getuid() == 0 else ""))
        four, six = self.serve("nginx", "-p", self.work, "-e", f"{self.work}/error.log", "-c", f"{self.work}/nginx.conf")
        for host in (four, f"[{six}]"):
            # Until it listens, a connection is refused.
            got = self.client("sh", "-c", f"curl -sS --retry 60 --retry-connrefused --retry-delay 1 'http://{host}/large' 2>/dev/null | sha256sum")
            self.assertEqual(got.split()[0], hashlib.sha256(data).hexdigest())
        with open(os.path.join(self.work, "access.log"), encoding="ascii") as file:
            seen = [line.split()[0] for line in file]
        self.assertEqual([seen[0].rsplit(".", 1)[0], seen[1].rsplit(":", 1)[0]], ["100.64.0", "fd62:6561:6d00::6440"])

    def test_redis_and_its_benchmark(self):
        self.needs("redis-server", "redis-server")
        self.needs("redis-tools", "redis-benchmark")
        four, six = self.serve("redis-server", "--bind", "0.0.0.0", "::", "--protected-mode", "no", "--save", "", "--dir", self.work)
        self.wait_for_log("Ready to accept", "server")
        text = self.client("redis-benchmark", "-h", four, "-q", "-n", "3000", "-c", "20", "-P", "4", "-t", "set,get,lpush")
        self.assertEqual(text.count("requests per second"), 3)
        self.assertEqual(self.client("redis-cli", "-h", six, "set", "key", "value"), "OK\n")
        self.assertEqual(self.client("redis-cli", "-h", four, "get", "key"), "value\n")
        peer = self.client("redis-cli", "-h", four, "client", "list")
        self.assertRegex(peer, r" addr=100\.64\.0\.2:\d+ laddr=" + four.replace(".", r"\.") + ":6379 ")

    def test_asyncio(self):
        four, six = self.serve("python3", "-c", ASYNCIO_SERVER)
        self.wait_for_log("ready", "server")
        self.assertEqual(self.client("python3", "-c", ASYNCIO_CLIENT, four, six), f"{40 * 20 * 20001}\nTrue\n")


if __name__ == "__main__":
    cli.main()
