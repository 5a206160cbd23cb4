// TCP connections that wait to be accepted, at IPv4 and IPv6 listeners; a listener with none; one that nobody has bound.
#include "inet.h"

enum { kWaiting = 4 };

int main(void) {
  guest_begin();
  const char* addresses[] = {"127.0.0.1", "::"};
  int listeners[2], clients[2][kWaiting];
  union inet_name names[2][kWaiting];
  for (int i = 0; i < 2; ++i) {
    listeners[i] = tcp_listener(addresses[i], 7);
    union inet_name to = inet_of("127.0.0.1", ntohs(inet_own(listeners[i]).v4.sin_port));
    for (int j = 0; j < kWaiting; ++j) {
      clients[i][j] = tcp_client(to);
      names[i][j] = inet_own(clients[i][j]);
    }
    wait_events(listeners[i], POLLIN);
  }
  int plain = tcp_listener("127.0.0.1", 2);
  int unbound = SYS(socket(AF_INET, SOCK_STREAM, 0));
  SYS(listen(unbound, 1));
  union inet_name chosen = inet_own(unbound);
  int bound = inet_bound(SOCK_STREAM, "127.0.0.1");
  union inet_name bound_name = inet_own(bound);
  guest_fence();
  for (int i = 0; i < 2; ++i) {
    bool seen[kWaiting] = {false};
    for (int j = 0; j < kWaiting; ++j) {
      union inet_name peer;
      memset(&peer, 0, sizeof peer);
      socklen_t size = sizeof peer;
      int server = SYS(accept(listeners[i], &peer.any, &size));
      int who = -1;
      for (int k = 0; k < kWaiting; ++k) {
        if (peer.v4.sin_port == names[i][k].v4.sin_port) {
          who = k;
        }
      }
      CHECK(who >= 0 && !seen[who]);
      seen[who] = true;
      inet_same(inet_own(clients[i][who]), names[i][who]);
      put(server, "welcome");
      take(clients[i][who], "welcome");
      put(clients[i][who], "thanks");
      take(server, "thanks");
      close(clients[i][who]);
      wait_events(server, POLLIN);
      take_end(server);
      close(server);
    }
    CHECK_EQ(events_of(listeners[i]), 0);
  }
  CHECK_EQ(events_of(plain), 0);
  inet_same(inet_own(unbound), chosen);
  chosen = inet_of("127.0.0.1", ntohs(chosen.v4.sin_port));
  int client = tcp_client(chosen);
  int server = SYS(accept(unbound, NULL, NULL));
  put(client, "x");
  take(server, "x");
  inet_same(inet_own(bound), bound_name);
  SYS(listen(bound, 1));
  client = tcp_client(bound_name);
  server = SYS(accept(bound, NULL, NULL));
  put(client, "y");
  take(server, "y");
  return guest_pass();
}
