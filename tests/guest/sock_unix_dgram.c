// Datagrams: several senders with and without names, one that is closed meanwhile, connected receivers, more than the queue
// of an unconnected socket takes, an answer to the address that came along.
#include "sock.h"

static void take_from(int fd, const char* text, const char* sender) {
  char buffer[256];
  struct sockaddr_un name;
  socklen_t size = sizeof name;
  ssize_t got = SYS(recvfrom(fd, buffer, sizeof buffer - 1, 0, (struct sockaddr*)&name, &size));
  buffer[got] = '\0';
  CHECK_STR(buffer, text);
  if (sender[0] == '\0') {
    CHECK_EQ(size, 0);
    return;
  }
  un_check(&name, size, sender);
}

static void put_to(int fd, const char* text, const char* receiver) {
  struct sockaddr_un name;
  socklen_t size = un_name(&name, receiver);
  CHECK_EQ(SYS(sendto(fd, text, strlen(text), 0, (struct sockaddr*)&name, size)), strlen(text));
}

int main(void) {
  guest_begin();
  char abstract[40];
  snprintf(abstract, sizeof abstract, "@beam dgram %ld", (long)now_ns());
  int receiver = un_bound(SOCK_DGRAM, "receiver");
  int named = un_bound(SOCK_DGRAM, "named");
  int hidden = un_bound(SOCK_DGRAM, abstract);
  int unnamed = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  int dead = un_bound(SOCK_DGRAM, "dead");
  put_to(named, "from named", "receiver");
  put_to(unnamed, "from nobody", "receiver");
  put_to(dead, "from the dead", "receiver");
  close(dead);
  SYS(unlink("dead"));
  put_to(hidden, "from hidden", "receiver");
  put_to(named, "", "receiver");
  put_to(unnamed, "last", "receiver");

  // Connected both ways: no bound on the queue but the sender's buffer.
  int left = un_bound(SOCK_DGRAM, "left"), right = un_bound(SOCK_DGRAM, "right");
  put_to(named, "before", "right");
  SYS(un_connect(left, "right"));
  SYS(un_connect(right, "left"));
  for (int i = 0; i < 30; ++i) {
    char text[16];
    snprintf(text, sizeof text, "number %d", i);
    put(left, text);
  }
  CHECK_ERRNO(un_connect(named, "missing"), ENOENT);
  // Connected one way.
  int client = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  SYS(un_connect(client, "receiver"));
  // To a socket that is closed.
  int server = un_bound(SOCK_DGRAM, "server");
  int orphan = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  SYS(un_connect(orphan, "server"));
  close(server);
  guest_fence();
  take_from(receiver, "from named", "named");
  take_from(receiver, "from nobody", "");
  take_from(receiver, "from the dead", "dead");
  take_from(receiver, "from hidden", abstract);
  take_from(receiver, "", "named");
  take_from(receiver, "last", "");
  take_nothing(receiver);
  take_from(right, "before", "named");
  for (int i = 0; i < 30; ++i) {
    char text[16];
    snprintf(text, sizeof text, "number %d", i);
    take_from(right, text, "left");
  }
  take_nothing(right);
  put(right, "back");
  take_from(left, "back", "right");
  struct sockaddr_un name;
  socklen_t size = un_name(&name, "left");
  CHECK_ERRNO(sendto(named, "x", 1, 0, (struct sockaddr*)&name, size), EPERM);
  un_check_peer(client, "receiver");
  put(client, "connected");
  take_from(receiver, "connected", "");
  put_to(receiver, "answer", "named");
  take_from(named, "answer", "receiver");
  CHECK_ERRNO(send(orphan, "x", 1, 0), ECONNREFUSED);
  put_to(named, "hello", abstract);
  take_from(hidden, "hello", "named");
  guest_fence();
  put(client, "and again");
  take_from(receiver, "and again", "");
  return guest_pass();
}
