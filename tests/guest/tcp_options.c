// Options of TCP sockets, on a listener, a connection's both ends and an idle socket.
#include "inet.h"

static const struct {
  int level, option, value;
} kOptions[] = {
    {IPPROTO_TCP, TCP_NODELAY, 1},     {IPPROTO_TCP, TCP_KEEPIDLE, 77},      {IPPROTO_TCP, TCP_KEEPINTVL, 33},
    {IPPROTO_TCP, TCP_KEEPCNT, 5},     {IPPROTO_TCP, TCP_USER_TIMEOUT, 9000}, {IPPROTO_TCP, TCP_SYNCNT, 3},
    {IPPROTO_TCP, TCP_LINGER2, 20},    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000}, {SOL_SOCKET, SO_KEEPALIVE, 1},
    {SOL_SOCKET, SO_OOBINLINE, 1},     {SOL_SOCKET, SO_REUSEADDR, 1},        {SOL_SOCKET, SO_RCVLOWAT, 3},
    {SOL_SOCKET, SO_PRIORITY, 2},      {IPPROTO_IP, IP_TOS, 0x10},           {IPPROTO_IP, IP_TTL, 42},
    {IPPROTO_IP, IP_MINTTL, 1},
};
enum { kCount = sizeof kOptions / sizeof *kOptions };

int main(void) {
  guest_begin();
  int fds[4];
  fds[0] = tcp_listener("127.0.0.1", 3);
  fds[1] = tcp_client(inet_own(fds[0]));
  fds[2] = SYS(accept(fds[0], NULL, NULL));
  fds[3] = SYS(socket(AF_INET, SOCK_STREAM, 0));
  int plain[2];
  tcp_pair(plain);
  int before[kCount];
  for (int i = 0; i < kCount; ++i) {
    before[i] = option_of(plain[0], kOptions[i].level, kOptions[i].option);
  }
  for (int f = 0; f < 4; ++f) {
    for (int i = 0; i < kCount; ++i) {
      set_option(fds[f], kOptions[i].level, kOptions[i].option, kOptions[i].value);
    }
    set_option(fds[f], SOL_SOCKET, SO_SNDBUF, 30000 + f);
    set_option(fds[f], SOL_SOCKET, SO_RCVBUF, 40000 + f);
    struct linger linger = {1, 9};
    SYS(setsockopt(fds[f], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    SYS(setsockopt(fds[f], IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  }
  set_option(fds[0], IPPROTO_TCP, TCP_DEFER_ACCEPT, 4);
  int defer = option_of(fds[0], IPPROTO_TCP, TCP_DEFER_ACCEPT);
  struct timeval time = {3, 0};
  SYS(setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
  SYS(fcntl(fds[2], F_SETFL, O_NONBLOCK));
  int values[4][kCount];
  for (int f = 0; f < 4; ++f) {
    for (int i = 0; i < kCount; ++i) {
      values[f][i] = option_of(fds[f], kOptions[i].level, kOptions[i].option);
    }
  }
  for (int round = 0; round < 2; ++round) {
    guest_fence();
    for (int f = 0; f < 4; ++f) {
      for (int i = 0; i < kCount; ++i) {
        if (option_of(fds[f], kOptions[i].level, kOptions[i].option) != values[f][i]) {
          FAIL("socket %d, option %d: got %d, expected %d", f, kOptions[i].option,
               option_of(fds[f], kOptions[i].level, kOptions[i].option), values[f][i]);
        }
      }
      CHECK_EQ(option_of(fds[f], SOL_SOCKET, SO_SNDBUF), 2 * (30000 + f));
      CHECK_EQ(option_of(fds[f], SOL_SOCKET, SO_RCVBUF), 2 * (40000 + f));
      struct linger linger;
      socklen_t size = sizeof linger;
      SYS(getsockopt(fds[f], SOL_SOCKET, SO_LINGER, &linger, &size));
      CHECK_EQ(linger.l_onoff, 1);
      CHECK_EQ(linger.l_linger, 9);
      char name[16] = "";
      size = sizeof name;
      SYS(getsockopt(fds[f], IPPROTO_TCP, TCP_CONGESTION, name, &size));
      CHECK_STR(name, "reno");
    }
    CHECK_EQ(option_of(fds[0], IPPROTO_TCP, TCP_DEFER_ACCEPT), defer);
    struct timeval got;
    socklen_t size = sizeof got;
    SYS(getsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &got, &size));
    CHECK_EQ(got.tv_sec, 3);
    CHECK_EQ(fcntl(fds[2], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    for (int i = 0; i < kCount; ++i) {
      CHECK_EQ(option_of(plain[0], kOptions[i].level, kOptions[i].option), before[i]);
    }
    put(fds[1], "abc");
    wait_events(fds[2], POLLIN);
    take(fds[2], "abc");
  }
  return guest_pass();
}
