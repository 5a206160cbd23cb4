// Connections that wait to be accepted and have been sent to already; some shut down, some closed by their clients.
#include "sock.h"

int main(void) {
  guest_begin();
  for (int round = 0; round < 2; ++round) {
    int type = round == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
    int listener = un_bound(type, round == 0 ? "stream" : "packets");
    const char* name = round == 0 ? "stream" : "packets";
    SYS(listen(listener, 10));
    int first = un_client(type, name);
    put(first, "first");
    put(first, "and more");
    int second = un_client(type, name);
    int third = un_client(type, name);
    int ends[2];
    SYS(pipe(ends));
    put_fds(third, "fds", ends + 1, 1);
    int fourth = un_client(type, name);
    put(fourth, "closed");
    close(fourth);
    int fifth = un_client(type, name);
    put(fifth, "shut");
    SYS(shutdown(fifth, SHUT_WR));
    guest_fence();
    int server = SYS(accept(listener, NULL, NULL));
    take(server, "first");
    take(server, "and more");
    take_nothing(server);
    put(server, "back");
    take(first, "back");
    close(server);
    server = SYS(accept(listener, NULL, NULL));
    take_nothing(server);
    put(second, "late");
    take(server, "late");
    close(server);
    server = SYS(accept(listener, NULL, NULL));
    int fd;
    take_fds(server, "fds", &fd, 1);
    CHECK_EQ(write(fd, "z", 1), 1);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    close(fd);
    close(ends[1]);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    close(server);
    server = SYS(accept(listener, NULL, NULL));
    take(server, "closed");
    take_end(server);
    CHECK_ERRNO(send(server, "x", 1, MSG_NOSIGNAL), EPIPE);
    close(server);
    server = SYS(accept(listener, NULL, NULL));
    take(server, "shut");
    take_end(server);
    put(server, "answer");
    take(fifth, "answer");
    close(server);
    CHECK_EQ(events_of(listener) & POLLIN, 0);
    close(listener);
    close(first);
    close(second);
    close(third);
    close(fifth);
    close(ends[0]);
  }
  return guest_pass();
}
