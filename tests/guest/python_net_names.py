# What sockets are called: addresses bound, connected to and shown, for both families, streams and datagrams, loopback and all
# addresses, ports chosen by the kernel, and the errors of names that can't be had.
import errno
import os
import resource
import socket
import sys

LO4, LO6, ANY4, ANY6 = "127.0.0.1", "::1", "0.0.0.0", "::"


def check(condition, *what):
    if not condition:
        line = sys._getframe(1).f_lineno
        print(f"FAIL python_net_names.py:{line}", *what, flush=True)
        os._exit(1)


def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def stream(family, bound, to, shown):
    with socket.socket(family) as listener:
        listener.bind((bound, 0))
        listener.listen()
        port = listener.getsockname()[1]
        check(listener.getsockname()[0] == bound and port != 0, listener.getsockname())
        with socket.create_connection((to, port)) as client:
            accepted, peer = listener.accept()
            with accepted:
                check(client.getpeername()[:2] == (to, port), client.getpeername())
                check(client.getsockname()[0] == to, client.getsockname())
                check(peer[:2] == (shown, client.getsockname()[1]), peer)
                check(accepted.getpeername() == peer and accepted.getsockname()[:2] == (shown, port))
                client.sendall(b"question")
                check(accepted.recv(100) == b"question")


def datagrams(family, bound, to):
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.bind((bound, 0))
        port = server.getsockname()[1]
        client.sendto(b"one", (to, port))
        data, source = server.recvfrom(100)
        check(data == b"one" and source[:2] == (to, client.getsockname()[1]), source, client.getsockname())
        server.sendto(b"back", source)
        check(client.recvfrom(100)[1][:2] == (to, port))
        client.sendmsg([b"t", b"wo"], [], 0, (to, port))
        data, _, _, source = server.recvmsg(100, 100)
        check(data == b"two" and source[0] == to, data, source)
        client.connect((to, port))
        client.send(b"three")
        check(server.recvfrom(100)[1] == client.getsockname() and client.getpeername()[:2] == (to, port))


def packet_info():
    for family, address, level, option in ((socket.AF_INET, LO4, socket.IPPROTO_IP, 8),
                                           (socket.AF_INET6, LO6, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)):
        with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
            server.bind((address, 0))
            server.setsockopt(level, option, 1)
            client.sendto(b"x", server.getsockname())
            (_, _, data), = server.recvmsg(10, 100)[1]
            check(socket.inet_pton(family, address) in data, data)


def errors():
    with socket.socket() as one, socket.socket() as other:
        one.bind((LO4, 0))
        check(refused(one.bind, (LO4, 0)) == errno.EINVAL)
        check(refused(other.bind, one.getsockname()) == errno.EADDRINUSE)
        check(refused(other.bind, (ANY4, one.getsockname()[1])) == errno.EADDRINUSE)
        check(refused(other.bind, ("192.0.2.77", 0)) == errno.EADDRNOTAVAIL)
        check(refused(other.connect, one.getsockname()) == errno.ECONNREFUSED)
    with socket.socket() as one:
        one.listen()
        check(one.getsockname()[0] == ANY4 and one.getsockname()[1] != 0)


def no_descriptor_left():
    """A connection that there is no descriptor for goes on waiting."""
    with socket.create_server((LO4, 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"still here")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, hard))
        spare = []
        while True:
            try:
                spare.append(os.open("/dev/null", os.O_RDONLY))
            except OSError as error:
                check(error.errno == errno.EMFILE)
                break
        for blocking in (True, False):
            listener.setblocking(blocking)
            check(refused(listener.accept) == errno.EMFILE)
        os.close(spare.pop())
        accepted, _ = listener.accept()
        check(accepted.recv(100) == b"still here")
        accepted.close()
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def only_v6():
    with socket.socket(socket.AF_INET6) as six, socket.socket() as four:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind((ANY6, 0))
        six.listen()
        port = six.getsockname()[1]
        check(six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1)
        check(refused(six.connect, ("::ffff:127.0.0.1", port)) != 0)
        four.bind((ANY4, port))
        four.listen()
        with socket.create_connection((LO4, port)), socket.create_connection((LO6, port)):
            for listener, address in ((four, LO4), (six, LO6)):
                accepted, peer = listener.accept()
                accepted.close()
                check(peer[0] == address, peer)


stream(socket.AF_INET, LO4, LO4, LO4)
stream(socket.AF_INET, ANY4, LO4, LO4)
stream(socket.AF_INET6, LO6, LO6, LO6)
stream(socket.AF_INET6, ANY6, LO6, LO6)
stream(socket.AF_INET6, ANY6, LO4, "::ffff:127.0.0.1")
for family, bound, to in ((socket.AF_INET, LO4, LO4), (socket.AF_INET, ANY4, LO4), (socket.AF_INET6, LO6, LO6),
                          (socket.AF_INET6, ANY6, LO6)):
    datagrams(family, bound, to)
packet_info()
errors()
no_descriptor_left()
only_v6()
check({name for _, name in socket.if_nameindex()} >= {"lo"})
print("PASS")
