// Established TCP connections: IPv4, IPv6, and IPv6 sockets that speak IPv4; data in both directions; the same addresses after.
#include "inet.h"

enum { kKinds = 4 };

int main(void) {
  guest_begin();
  const char* bound[kKinds] = {"127.0.0.1", "::1", "::", "0.0.0.0"};
  const char* target[kKinds] = {"127.0.0.1", "::1", "127.0.0.1", "127.0.0.2"};
  int listeners[kKinds], clients[kKinds], servers[kKinds];
  union inet_name names[kKinds][4];
  for (int i = 0; i < kKinds; ++i) {
    listeners[i] = tcp_listener(bound[i], 5);
    clients[i] = tcp_client(inet_of(target[i], ntohs(inet_own(listeners[i]).v4.sin_port)));
    servers[i] = SYS(accept(listeners[i], NULL, NULL));
    names[i][0] = inet_own(clients[i]);
    names[i][1] = inet_peer(clients[i]);
    names[i][2] = inet_own(servers[i]);
    names[i][3] = inet_peer(servers[i]);
    put(clients[i], "to the server");
    put(servers[i], "to the client");
    wait_events(clients[i], POLLIN);
  }
  for (int round = 0; round < 3; ++round) {
    guest_fence();
    for (int i = 0; i < kKinds; ++i) {
      inet_same(inet_own(clients[i]), names[i][0]);
      inet_same(inet_peer(clients[i]), names[i][1]);
      inet_same(inet_own(servers[i]), names[i][2]);
      inet_same(inet_peer(servers[i]), names[i][3]);
      CHECK_EQ(tcp_state_of(clients[i]), TCP_ESTABLISHED);
      CHECK_EQ(tcp_state_of(servers[i]), TCP_ESTABLISHED);
      if (round == 0) {
        take(servers[i], "to the server");
        take(clients[i], "to the client");
      }
      take_nothing(servers[i]);
      take_nothing(clients[i]);
      put(clients[i], "more");
      take(servers[i], "more");
      put(servers[i], "back");
      take(clients[i], "back");
      CHECK_EQ(option_of(listeners[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
      if (round == 1) {
        // Another one at the same listener.
        int client = tcp_client(names[i][1]);
        int server = SYS(accept(listeners[i], NULL, NULL));
        put(client, "new");
        take(server, "new");
        close(client);
        close(server);
        close(listeners[i]);
        listeners[i] = tcp_listener(bound[i], 3);
      }
    }
  }
  for (int i = 0; i < kKinds; ++i) {
    close(clients[i]);
    wait_events(servers[i], POLLIN);
    take_end(servers[i]);
  }
  return guest_pass();
}
