// As much as a TCP connection takes while nobody reads, in both directions, also with small buffers, a corked end, and data
// that Nagle's algorithm holds back: all of it is there afterwards, in order.
#include "inet.h"

static long fill(int fd, unsigned seed) {
  static char block[10000];
  long total = 0;
  for (;;) {
    for (size_t i = 0; i < sizeof block; ++i) {
      block[i] = (char)((((unsigned long)total + i) * 2654435761u + seed) >> 16);
    }
    ssize_t now = send(fd, block, sizeof block, MSG_DONTWAIT);
    if (now < 0) {
      CHECK_EQ(errno, EAGAIN);
      return total;
    }
    total += now;
    if (total > 1500000) {
      return total;
    }
  }
}

static void drain(int fd, long total, unsigned seed) {
  static char block[10000];
  for (long done = 0; done < total;) {
    ssize_t now = SYS(recv(fd, block, sizeof block < (size_t)(total - done) ? sizeof block : (size_t)(total - done), 0));
    CHECK(now > 0);
    for (ssize_t i = 0; i < now; ++i) {
      if (block[i] != (char)((((unsigned long)(done + i)) * 2654435761u + seed) >> 16)) {
        FAIL("byte %ld is wrong", done + (long)i);
      }
    }
    done += now;
  }
  take_nothing(fd);
}

int main(void) {
  guest_begin();
  int plain[2], small[2], corked[2], nagle[2];
  tcp_pair(plain);
  long plain_sizes[2] = {fill(plain[0], 1), fill(plain[1], 2)};
  int listener = inet_bound(SOCK_STREAM, "127.0.0.1");
  set_option(listener, SOL_SOCKET, SO_RCVBUF, 5000);
  set_option(listener, SOL_SOCKET, SO_SNDBUF, 5000);
  SYS(listen(listener, 1));
  small[0] = SYS(socket(AF_INET, SOCK_STREAM, 0));
  set_option(small[0], SOL_SOCKET, SO_RCVBUF, 4000);
  set_option(small[0], SOL_SOCKET, SO_SNDBUF, 4000);
  SYS(inet_connect(small[0], inet_own(listener)));
  small[1] = SYS(accept(listener, NULL, NULL));
  long small_sizes[2] = {fill(small[0], 3), fill(small[1], 4)};
  int buffer = option_of(small[0], SOL_SOCKET, SO_RCVBUF), other_buffer = option_of(small[1], SOL_SOCKET, SO_RCVBUF);
  tcp_pair(corked);
  set_option(corked[0], IPPROTO_TCP, TCP_CORK, 1);
  put(corked[0], "held back");
  tcp_pair(nagle);
  put(nagle[0], "first");
  put(nagle[0], "second");
  guest_fence();
  drain(plain[1], plain_sizes[0], 1);
  drain(plain[0], plain_sizes[1], 2);
  CHECK_EQ(option_of(small[0], SOL_SOCKET, SO_RCVBUF), buffer);
  CHECK_EQ(option_of(small[1], SOL_SOCKET, SO_RCVBUF), other_buffer);
  drain(small[1], small_sizes[0], 3);
  drain(small[0], small_sizes[1], 4);
  CHECK_EQ(option_of(corked[0], IPPROTO_TCP, TCP_CORK), 1);
  put(corked[0], " together");
  set_option(corked[0], IPPROTO_TCP, TCP_CORK, 0);
  char text[32] = "";
  CHECK_EQ(recv(corked[1], text, 18, MSG_WAITALL), 18);
  CHECK_STR(text, "held back together");
  CHECK_EQ(recv(nagle[1], text, 11, MSG_WAITALL), 11);
  CHECK_EQ(memcmp(text, "firstsecond", 11), 0);
  // And they take as much again.
  long again = fill(small[0], 9);
  CHECK(again > 0);
  guest_fence();
  drain(small[1], again, 9);
  return guest_pass();
}
