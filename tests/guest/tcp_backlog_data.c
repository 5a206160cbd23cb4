// TCP connections that wait to be accepted and have sent already; one shut down, one closed by its client.
#include "inet.h"

int main(void) {
  guest_begin();
  int listener = tcp_listener("127.0.0.1", 10);
  union inet_name name = inet_own(listener);
  int first = tcp_client(name);
  put(first, "first");
  int second = tcp_client(name);
  int third = tcp_client(name);
  put(third, "shut");
  SYS(shutdown(third, SHUT_WR));
  wait_tcp_state(third, TCP_FIN_WAIT2);
  int fourth = tcp_client(name);
  put(fourth, "closed");
  union inet_name fourth_name = inet_own(fourth);
  close(fourth);
  guest_fence();
  union inet_name peer;
  socklen_t size = sizeof peer;
  int server = SYS(accept(listener, &peer.any, &size));
  CHECK_EQ(peer.v4.sin_port, inet_own(first).v4.sin_port);
  take(server, "first");
  take_nothing(server);
  put(server, "back");
  take(first, "back");
  server = SYS(accept(listener, NULL, NULL));
  take_nothing(server);
  put(second, "late");
  take(server, "late");
  server = SYS(accept(listener, NULL, NULL));
  take(server, "shut");
  take_end(server);
  put(server, "answer");
  take(third, "answer");
  size = sizeof peer;
  server = SYS(accept(listener, &peer.any, &size));
  CHECK_EQ(peer.v4.sin_port, fourth_name.v4.sin_port);
  take(server, "closed");
  take_end(server);
  CHECK_EQ(events_of(listener) & POLLIN, 0);
  return guest_pass();
}
