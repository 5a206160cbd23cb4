// Connections that wait to be accepted, in order; a full backlog that refuses and one that somebody waits at.
#include "sock.h"

enum { kWaiting = 5 };

int main(void) {
  guest_begin();
  for (int round = 0; round < 2; ++round) {
    int type = round == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
    const char* name = round == 0 ? "stream" : "packets";
    int listener = un_bound(type, name);
    SYS(listen(listener, kWaiting - 1));
    int clients[kWaiting];
    for (int i = 0; i < kWaiting; ++i) {
      char own[16];
      snprintf(own, sizeof own, "%s.%d", name, i);
      clients[i] = un_bound(type, own);
      SYS(un_connect(clients[i], name));
    }
    int refused = SYS(socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
    CHECK_ERRNO(un_connect(refused, name), EAGAIN);
    // A child waits in connect(2) for room.
    pid_t child = guest_fork();
    if (child == 0) {
      int fd = un_client(type, name);
      take(fd, "last");
      _exit(0);
    }
    wait_state(child, child, "S");
    guest_fence();
    CHECK_EQ(events_of(listener) & POLLIN, POLLIN);
    CHECK_ERRNO(un_connect(refused, name), EAGAIN);
    for (int i = 0; i < kWaiting; ++i) {
      char own[16];
      snprintf(own, sizeof own, "%s.%d", name, i);
      struct sockaddr_un peer;
      socklen_t size = sizeof peer;
      int server = SYS(accept(listener, (struct sockaddr*)&peer, &size));
      un_check(&peer, size, own);
      un_check_peer(clients[i], name);
      put(server, "welcome");
      take(clients[i], "welcome");
      put(clients[i], "thanks");
      take(server, "thanks");
      close(server);
      close(clients[i]);
    }
    int server = SYS(accept(listener, NULL, NULL));
    put(server, "last");
    REAP(child);
    close(server);
    CHECK_EQ(events_of(listener) & POLLIN, 0);
    close(listener);
    close(refused);
  }
  return guest_pass();
}
