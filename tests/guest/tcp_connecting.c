// Connects to a listener whose backlog is full: one that does not wait, and a child that sleeps in connect(2).
#include "inet.h"

int main(void) {
  guest_begin();
  int listener = tcp_listener("127.0.0.1", 1);
  union inet_name name = inet_own(listener);
  // One more than the backlog is taken (net/core/sock.h, sk_acceptq_is_full).
  int first = tcp_client(name), second = tcp_client(name);
  int pending = SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  CHECK_ERRNO(inet_connect(pending, name), EINPROGRESS);
  union inet_name own = inet_own(pending);
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tcp_client(name);
    take(fd, "child");
    _exit(0);
  }
  wait_state(child, child, "S");
  guest_fence();
  CHECK_EQ(tcp_state_of(pending), TCP_SYN_SENT);
  inet_same(inet_own(pending), own);
  CHECK_ERRNO(inet_connect(pending, name), EALREADY);
  for (int i = 0; i < 2; ++i) {
    int server = SYS(accept(listener, NULL, NULL));
    put(server, "hello");
    take(i == 0 ? first : second, "hello");
    close(server);
  }
  for (int i = 0; i < 2; ++i) {
    int server = SYS(accept(listener, NULL, NULL));
    if (inet_peer(server).v4.sin_port == own.v4.sin_port) {
      wait_events(pending, POLLOUT);
      CHECK_EQ(option_of(pending, SOL_SOCKET, SO_ERROR), 0);
      put(server, "late");
      SYS(fcntl(pending, F_SETFL, 0));
      take(pending, "late");
    } else {
      put(server, "child");
    }
    close(server);
  }
  REAP(child);
  return guest_pass();
}
