// UDP sockets with datagrams that wait: from several sources, one of them gone; empty ones; IPv4, IPv6, mapped; connected ones.
#include "inet.h"

static void put_to(int fd, const char* text, union inet_name to) {
  CHECK_EQ(SYS(sendto(fd, text, strlen(text), 0, &to.any, inet_size(&to))), strlen(text));
}

static void take_from(int fd, const char* text, union inet_name from) {
  char buffer[3000];
  union inet_name name;
  memset(&name, 0, sizeof name);
  socklen_t size = sizeof name;
  ssize_t got = SYS(recvfrom(fd, buffer, sizeof buffer - 1, 0, &name.any, &size));
  buffer[got] = '\0';
  CHECK_STR(buffer, text);
  inet_same(name, from);
}

int main(void) {
  guest_begin();
  static char large[2500];
  memset(large, 'L', sizeof large - 1);
  int receiver = inet_bound(SOCK_DGRAM, "127.0.0.1"), sender = inet_bound(SOCK_DGRAM, "127.0.0.1");
  int gone = inet_bound(SOCK_DGRAM, "127.0.0.1");
  int any = inet_bound(SOCK_DGRAM, "0.0.0.0");
  union inet_name to = inet_own(receiver), from = inet_own(sender), from_gone = inet_own(gone);
  union inet_name from_any = inet_of("127.0.0.1", ntohs(inet_own(any).v4.sin_port));
  put_to(sender, "one", to);
  put_to(gone, "two", to);
  put_to(sender, "", to);
  put_to(any, "three", to);
  put_to(sender, large, to);
  put_to(sender, "to any", from_any);
  close(gone);
  int six = inet_bound(SOCK_DGRAM, "::1"), dual = inet_bound(SOCK_DGRAM, "::");
  put_to(six, "six", inet_own(six));
  union inet_name dual_four = inet_of("127.0.0.1", ntohs(inet_own(dual).v4.sin_port));
  put_to(sender, "mapped", dual_four);
  char mapped[64];
  snprintf(mapped, sizeof mapped, "::ffff:127.0.0.1");
  union inet_name from_mapped = inet_of(mapped, ntohs(from.v4.sin_port));
  int left = inet_bound(SOCK_DGRAM, "127.0.0.1"), right = inet_bound(SOCK_DGRAM, "127.0.0.1");
  put_to(sender, "before it was connected", inet_own(left));
  SYS(inet_connect(left, inet_own(right)));
  SYS(inet_connect(right, inet_own(left)));
  put(right, "connected");
  int unbound = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  int chosen = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  SYS(inet_connect(chosen, to));
  union inet_name chosen_name = inet_own(chosen);
  union inet_name left_name = inet_own(left), right_name = inet_own(right);
  guest_fence();
  inet_same(inet_own(receiver), to);
  take_from(receiver, "one", from);
  take_from(receiver, "two", from_gone);
  take_from(receiver, "", from);
  take_from(receiver, "three", from_any);
  take_from(receiver, large, from);
  take_nothing(receiver);
  take_from(any, "to any", from);
  take_from(six, "six", inet_own(six));
  take_from(dual, "mapped", from_mapped);
  inet_same(inet_own(left), left_name);
  inet_same(inet_peer(left), right_name);
  take_from(left, "before it was connected", from);
  take_from(left, "connected", right_name);
  put(left, "answer");
  take_from(right, "answer", left_name);
  CHECK_EQ(inet_own(unbound).v4.sin_port, 0);
  inet_same(inet_own(chosen), chosen_name);
  inet_same(inet_peer(chosen), to);
  put(chosen, "hello");
  take_from(receiver, "hello", chosen_name);
  guest_fence();
  put_to(sender, "again", to);
  take_from(receiver, "again", from);
  return guest_pass();
}
