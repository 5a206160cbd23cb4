// Many connections of one listener, whose server is gone; of one client's port to several servers; and shared by fork.
#include "inet.h"

enum { kMany = 60 };

int main(void) {
  guest_begin();
  int listener = tcp_listener("127.0.0.1", kMany);
  union inet_name name = inet_own(listener);
  int clients[kMany], servers[kMany];
  for (int i = 0; i < kMany; ++i) {
    clients[i] = tcp_client(name);
    servers[i] = SYS(accept(listener, NULL, NULL));
    char text[16];
    snprintf(text, sizeof text, "%d", i);
    put(i % 2 ? clients[i] : servers[i], text);
  }
  close(listener);
  // One port of ours, two of others'.
  int other[2] = {tcp_listener("127.0.0.1", 1), tcp_listener("127.0.0.1", 1)};
  int from_one[2], at_two[2];
  union inet_name own = inet_of("127.0.0.1", 0);
  for (int i = 0; i < 2; ++i) {
    from_one[i] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    set_option(from_one[i], SOL_SOCKET, SO_REUSEADDR, 1);
    SYS(bind(from_one[i], &own.any, sizeof own.v4));
    own = inet_own(from_one[i]);
    SYS(inet_connect(from_one[i], inet_own(other[i])));
    at_two[i] = SYS(accept(other[i], NULL, NULL));
  }
  pid_t child = guest_fork();
  struct gate up = gate_make();
  (void)up;
  if (child == 0) {
    for (int i = 0; i < kMany; ++i) {
      close(clients[i]);
    }
    take(from_one[0], "to the child");
    _exit(0);
  }
  guest_fence();
  for (int i = 0; i < kMany; ++i) {
    char text[16];
    snprintf(text, sizeof text, "%d", i);
    take(i % 2 ? servers[i] : clients[i], text);
    put(clients[i], "ping");
    take(servers[i], "ping");
    CHECK_EQ(inet_peer(clients[i]).v4.sin_port, name.v4.sin_port);
    CHECK_EQ(inet_peer(servers[i]).v4.sin_port, inet_own(clients[i]).v4.sin_port);
  }
  for (int i = 0; i < 2; ++i) {
    inet_same(inet_own(from_one[i]), own);
    put(from_one[i], "z");
    take(at_two[i], "z");
  }
  put(at_two[0], "to the child");
  REAP(child);
  // The port is free for a listener again once nobody has it.
  for (int i = 0; i < kMany; ++i) {
    close(clients[i]);
    wait_events(servers[i], POLLIN);
    take_end(servers[i]);
    close(servers[i]);
  }
  listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
  set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  SYS(bind(listener, &name.any, sizeof name.v4));
  SYS(listen(listener, 1));
  return guest_pass();
}
