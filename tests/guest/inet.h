// TCP and UDP on loopback for guests.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sock.h"

union inet_name {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

static socklen_t inet_size(const union inet_name* name) {
  return name->any.sa_family == AF_INET ? sizeof name->v4 : sizeof name->v6;
}

__attribute__((unused)) static union inet_name inet_of(const char* text, int port) {
  union inet_name name;
  memset(&name, 0, sizeof name);
  if (strchr(text, ':')) {
    name.v6.sin6_family = AF_INET6;
    CHECK_EQ(inet_pton(AF_INET6, text, &name.v6.sin6_addr), 1);
  } else {
    name.v4.sin_family = AF_INET;
    CHECK_EQ(inet_pton(AF_INET, text, &name.v4.sin_addr), 1);
  }
  name.v4.sin_port = htons((uint16_t)port);
  return name;
}

__attribute__((unused)) static union inet_name inet_own(int fd) {
  union inet_name name;
  memset(&name, 0, sizeof name);
  socklen_t size = sizeof name;
  SYS(getsockname(fd, &name.any, &size));
  return name;
}

__attribute__((unused)) static union inet_name inet_peer(int fd) {
  union inet_name name;
  memset(&name, 0, sizeof name);
  socklen_t size = sizeof name;
  SYS(getpeername(fd, &name.any, &size));
  return name;
}

__attribute__((unused)) static void inet_same(union inet_name got, union inet_name expected) {
  CHECK_EQ(got.any.sa_family, expected.any.sa_family);
  CHECK_EQ(ntohs(got.v4.sin_port), ntohs(expected.v4.sin_port));
  CHECK_EQ(memcmp(&got, &expected, inet_size(&expected)), 0);
}

// Bound to a free port.
__attribute__((unused)) static int inet_bound(int type, const char* address) {
  union inet_name name = inet_of(address, 0);
  int fd = SYS(socket(name.any.sa_family, type, 0));
  SYS(bind(fd, &name.any, inet_size(&name)));
  return fd;
}

__attribute__((unused)) static int tcp_listener(const char* address, int backlog) {
  int fd = inet_bound(SOCK_STREAM, address);
  SYS(listen(fd, backlog));
  return fd;
}

__attribute__((unused)) static int inet_connect(int fd, union inet_name name) {
  return connect(fd, &name.any, inet_size(&name));
}

__attribute__((unused)) static int tcp_client(union inet_name name) {
  int fd = SYS(socket(name.any.sa_family, SOCK_STREAM, 0));
  SYS(inet_connect(fd, name));
  return fd;
}

// A connection by way of a listener that is closed again.
__attribute__((unused)) static void tcp_pair(int pair[2]) {
  int listener = tcp_listener("127.0.0.1", 1);
  pair[0] = tcp_client(inet_own(listener));
  pair[1] = SYS(accept(listener, NULL, NULL));
  SYS(close(listener));
}

__attribute__((unused)) static int tcp_state_of(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  SYS(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
  return info.tcpi_state;
}

// Waits until the kernel has taken in what the other end did.
__attribute__((unused)) static void wait_events(int fd, short wanted) {
  struct pollfd poll_fd = {fd, wanted, 0};
  CHECK_EQ(poll(&poll_fd, 1, -1), 1);
}

__attribute__((unused)) static void wait_tcp_state(int fd, int state) {
  while (tcp_state_of(fd) != state) {
    sched_yield();
  }
}

// Until all that was sent has arrived.
__attribute__((unused)) static void wait_sent(int fd) {
  for (int left = 1; left != 0;) {
    SYS(ioctl(fd, TIOCOUTQ, &left));
    sched_yield();
  }
}
