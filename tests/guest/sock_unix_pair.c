// Pairs of UNIX sockets with data in both directions: boundaries of records and datagrams, empty ones, large ones.
#include "sock.h"

static void fill(char* bytes, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = (char)((i * 31 + seed) >> 3);
  }
}

static void check_large(int fd, size_t size, unsigned seed) {
  static char expected[100000], got[100001];
  fill(expected, size, seed);
  size_t used = 0;
  while (used < size) {
    ssize_t now = SYS(recv(fd, got + used, sizeof got - used, 0));
    CHECK(now > 0);
    used += (size_t)now;
  }
  CHECK_EQ(used, size);
  CHECK_EQ(memcmp(got, expected, size), 0);
}

int main(void) {
  guest_begin();
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  int pairs[3][2], idle[3][2];
  static char large[100000];
  for (int t = 0; t < 3; ++t) {
    SYS(socketpair(AF_UNIX, types[t], 0, pairs[t]));
    SYS(socketpair(AF_UNIX, types[t], 0, idle[t]));
    put(pairs[t][0], "one");
    put(pairs[t][0], "three");
    if (types[t] != SOCK_STREAM) {
      put(pairs[t][0], "");
    }
    put(pairs[t][0], "five");
    put(pairs[t][1], "back");
    fill(large, sizeof large, (unsigned)t);
    CHECK_EQ(SYS(send(pairs[t][1], large, sizeof large, 0)), sizeof large);
  }
  guest_fence();
  for (int t = 0; t < 3; ++t) {
    take(pairs[t][1], "one");
    take(pairs[t][1], "three");
    if (types[t] != SOCK_STREAM) {
      take(pairs[t][1], "");
    }
    // Looked at, the rest is still there.
    char byte[8] = "";
    CHECK_EQ(recv(pairs[t][1], byte, 4, MSG_PEEK), 4);
    CHECK_STR(byte, "five");
    take(pairs[t][1], "five");
    take_nothing(pairs[t][1]);
    take(pairs[t][0], "back");
    check_large(pairs[t][0], sizeof large, (unsigned)t);
    take_nothing(pairs[t][0]);
    CHECK_EQ(events_of(idle[t][0]), POLLOUT);
    put(idle[t][0], "still");
    put(idle[t][1], "here");
    take(idle[t][1], "still");
    take(idle[t][0], "here");
    un_check_own(idle[t][0], "");
    un_check_peer(idle[t][0], "");
    CHECK_EQ(option_of(idle[t][0], SOL_SOCKET, SO_TYPE), types[t]);
  }
  guest_fence();
  for (int t = 0; t < 3; ++t) {
    put(idle[t][0], "again");
    take(idle[t][1], "again");
    close(idle[t][1]);
    if (types[t] != SOCK_DGRAM) {
      take_end(idle[t][0]);
    }
  }
  return guest_pass();
}
