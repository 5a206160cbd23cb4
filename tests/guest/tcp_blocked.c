// Processes that sleep in calls on TCP sockets: accept, receive, send into a full connection, poll and epoll; timeouts.
#include <sys/epoll.h>

#include "inet.h"

int main(void) {
  guest_begin();
  int listener = tcp_listener("127.0.0.1", 5);
  int plain[2], full[2], polled[2], timed[2];
  tcp_pair(plain);
  tcp_pair(full);
  tcp_pair(polled);
  tcp_pair(timed);
  static char block[65536];
  long filled = 0;
  for (ssize_t now; (now = send(full[1], block, sizeof block, MSG_DONTWAIT)) > 0;) {
    filled += now;
  }
  pid_t children[5];
  for (int i = 0; i < 5; ++i) {
    children[i] = guest_fork();
    if (children[i] != 0) {
      continue;
    }
    if (i == 0) {
      int fd = SYS(accept(listener, NULL, NULL));
      take(fd, "accepted");
    } else if (i == 1) {
      char text[8];
      CHECK_EQ(recv(plain[0], text, 8, MSG_WAITALL), 8);
      CHECK_EQ(memcmp(text, "12345678", 8), 0);
    } else if (i == 2) {
      CHECK_EQ(send(full[1], block, 100000 < sizeof block ? 100000 : sizeof block, 0), sizeof block);
    } else if (i == 3) {
      int epoll = SYS(epoll_create1(0));
      struct epoll_event event = {.events = EPOLLIN};
      SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, polled[0], &event));
      int got;
      do {
        got = epoll_wait(epoll, &event, 1, -1);
      } while (got < 0 && errno == EINTR);
      CHECK_EQ(got, 1);
      take(polled[0], "ready");
    } else {
      struct timeval time = {60, 0};
      SYS(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
      take(timed[0], "in time");
    }
    _exit(0);
  }
  for (int i = 0; i < 5; ++i) {
    wait_state(children[i], children[i], "S");
  }
  guest_fence();
  guest_fence();
  int fd = tcp_client(inet_own(listener));
  put(fd, "accepted");
  REAP(children[0]);
  put(plain[1], "12345678");
  REAP(children[1]);
  put(polled[1], "ready");
  REAP(children[3]);
  put(timed[1], "in time");
  REAP(children[4]);
  for (long got = 0; got < filled + (long)sizeof block;) {
    got += SYS(recv(full[0], block, sizeof block, 0));
  }
  REAP(children[2]);
  return guest_pass();
}
