# socketserver over TCP and UNIX sockets: threads that serve, threads that ask, conversations that go on over fences.
import os
import socket
import socketserver
import sys
import threading


def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_sockets.py:{line}", *what, flush=True)
        os._exit(1)


def guest_fence():
    print("FENCE", flush=True)
    sys.stdin.readline()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        count = 0
        for line in self.rfile:
            count += 1
            self.wfile.write(b"%d %s" % (count, line[::-1].strip() + b"\n"))


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 50


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 50


def ask(file, number, rounds):
    for i in range(rounds):
        asked[number] += 1
        text = b"client %d round %d " % (number, asked[number]) + b"x" * (asked[number] * 37 % 3000)
        file.write(text + b"\n")
        file.flush()
        answer = file.readline()
        check(answer == b"%d %s\n" % (asked[number], text[::-1].strip()), number, i, answer[:60])


def client(number, address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        with connection.makefile("rwb") as file:
            for _ in range(ROUNDS):
                ask(file, number, 40)
                barrier.wait()  # everybody has a connection now
                barrier.wait()  # and goes on after the fence


CLIENTS, ROUNDS = 10, 3
asked = [0] * CLIENTS
barrier = threading.Barrier(CLIENTS + 1)
servers = [TcpServer(("127.0.0.1", 0), Handler), UnixServer("socket", Handler)]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
threads = [threading.Thread(target=client, args=(i, servers[i % 2].server_address)) for i in range(CLIENTS)]
for thread in threads:
    thread.start()
for _ in range(ROUNDS):
    barrier.wait()
    guest_fence()
    barrier.wait()
for thread in threads:
    thread.join()
check(asked == [40 * ROUNDS] * CLIENTS, asked)
print("PASS", flush=True)
os._exit(0)
