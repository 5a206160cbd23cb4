# asyncio streams and datagrams: a server and its clients in one loop, and clients in another process.
import asyncio
import os
import sys


def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_asyncio_net.py:{line}", *what, flush=True)
        os._exit(1)


def guest_fence():
    print("FENCE", flush=True)
    sys.stdin.readline()


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(b"echo " + line)
        await writer.drain()
    writer.close()


async def talk(port, name, before=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for i in range(60):
        if before and i % 20 == 10:
            await before()
        text = f"{name} {i} ".encode() + b"y" * (i * 53 % 5000) + b"\n"
        writer.write(text)
        await writer.drain()
        answer = await reader.readline()
        check(answer == b"echo " + text, name, i, answer[:40])
    writer.close()
    await writer.wait_closed()


class Answer(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data.upper(), address)


class Ask(asyncio.DatagramProtocol):
    def __init__(self):
        self.answers = asyncio.Queue()

    def datagram_received(self, data, address):
        self.answers.put_nowait(data)


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    child = os.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, __file__, str(port)])

    async def fence():
        guest_fence()

    await asyncio.gather(*(talk(port, f"client {i}", fence if i == 0 else None) for i in range(8)))
    _, status = await loop.run_in_executor(None, os.waitpid, child, 0)
    check(status == 0, status)
    answering, _ = await loop.create_datagram_endpoint(Answer, local_addr=("127.0.0.1", 0))
    asking, protocol = await loop.create_datagram_endpoint(Ask, remote_addr=answering.get_extra_info("sockname"))
    for i in range(20):
        asking.sendto(b"question %d" % i)
        if i == 10:
            guest_fence()
        check(await protocol.answers.get() == b"QUESTION %d" % i)
    server.close()


async def child_main(port):
    await asyncio.gather(*(talk(port, f"child {i}") for i in range(4)))


if len(sys.argv) > 1:
    asyncio.run(child_main(int(sys.argv[1])))
    os._exit(0)
asyncio.run(main())
print("PASS", flush=True)
os._exit(0)
