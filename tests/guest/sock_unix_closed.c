// Sockets whose other end is closed, or shut down, with data still unread; the error that tells of data that was never read.
#include "sock.h"

int main(void) {
  guest_begin();
  const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
  int closed[2], empty[2], reset[2], named[2], halves[2][2], both[2][2];
  for (int t = 0; t < 2; ++t) {
    int pair[2];
    SYS(socketpair(AF_UNIX, types[t], 0, pair));
    put(pair[1], "left behind");
    close(pair[1]);
    closed[t] = pair[0];
    SYS(socketpair(AF_UNIX, types[t], 0, pair));
    close(pair[1]);
    empty[t] = pair[0];
    SYS(socketpair(AF_UNIX, types[t], 0, pair));
    put(pair[0], "never read");
    close(pair[1]);
    reset[t] = pair[0];
    const char* name = t == 0 ? "s" : "p";
    int listener = un_bound(types[t], name);
    SYS(listen(listener, 1));
    int client = un_client(types[t], name);
    named[t] = SYS(accept(listener, NULL, NULL));
    put(client, "from a client");
    close(client);
    close(listener);
    SYS(unlink(name));
    SYS(socketpair(AF_UNIX, types[t], 0, halves[t]));
    put(halves[t][0], "last words");
    SYS(shutdown(halves[t][0], SHUT_WR));
    SYS(socketpair(AF_UNIX, types[t], 0, both[t]));
    put(both[t][0], "unread");
    SYS(shutdown(both[t][0], SHUT_RDWR));
  }
  guest_fence();
  for (int t = 0; t < 2; ++t) {
    CHECK_EQ(events_of(closed[t]) & (POLLHUP | POLLERR), POLLHUP);
    take(closed[t], "left behind");
    take_end(closed[t]);
    CHECK_ERRNO(send(closed[t], "x", 1, MSG_NOSIGNAL), EPIPE);
    take_end(empty[t]);
    CHECK_EQ(events_of(empty[t]) & (POLLIN | POLLHUP), POLLIN | POLLHUP);
    CHECK_EQ(events_of(reset[t]) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
    char byte;
    CHECK_ERRNO(recv(reset[t], &byte, 1, 0), ECONNRESET);
    take_end(reset[t]);
    un_check_own(named[t], t == 0 ? "s" : "p");
    un_check_peer(named[t], "");
    take(named[t], "from a client");
    take_end(named[t]);
    CHECK_ERRNO(send(halves[t][0], "x", 1, MSG_NOSIGNAL), EPIPE);
    put(halves[t][1], "still this way");
    take(halves[t][0], "still this way");
    take(halves[t][1], "last words");
    take_end(halves[t][1]);
    CHECK_EQ(events_of(halves[t][1]) & (POLLRDHUP | POLLHUP), POLLRDHUP);
    CHECK_ERRNO(send(both[t][1], "x", 1, MSG_NOSIGNAL), EPIPE);
    take(both[t][1], "unread");
    take_end(both[t][1]);
    take_end(both[t][0]);
    CHECK_EQ(events_of(both[t][0]) & POLLHUP, POLLHUP);
  }
  guest_fence();
  for (int t = 0; t < 2; ++t) {
    take_end(closed[t]);
    take_end(halves[t][1]);
    put(halves[t][1], "again");
    take(halves[t][0], "again");
  }
  return guest_pass();
}
