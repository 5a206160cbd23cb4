// Options of UDP sockets, membership in multicast groups, a refused datagram's error, a shared port, shut down halves.
#include <net/if.h>

#include "inet.h"

int main(void) {
  guest_begin();
  int fd = inet_bound(SOCK_DGRAM, "0.0.0.0");
  set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
  set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
  set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
  set_option(fd, IPPROTO_IP, IP_MULTICAST_TTL, 7);
  set_option(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
  set_option(fd, IPPROTO_IP, IP_TTL, 33);
  set_option(fd, IPPROTO_IP, IP_TOS, 0x20);
  set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  set_option(fd, SOL_SOCKET, SO_RCVBUF, 50000);
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  int refused = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  int closed = inet_bound(SOCK_DGRAM, "127.0.0.1");
  union inet_name nobody = inet_own(closed);
  close(closed);
  SYS(inet_connect(refused, nobody));
  put(refused, "x");
  wait_events(refused, POLLERR);
  int deaf = inet_bound(SOCK_DGRAM, "127.0.0.1");
  SYS(inet_connect(deaf, inet_own(fd).v4.sin_port ? inet_of("127.0.0.1", ntohs(inet_own(fd).v4.sin_port)) : nobody));
  SYS(shutdown(deaf, SHUT_RD));
  int shared[2];
  union inet_name name = inet_of("127.0.0.1", 0);
  for (int i = 0; i < 2; ++i) {
    shared[i] = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    set_option(shared[i], SOL_SOCKET, SO_REUSEPORT, 1);
    SYS(bind(shared[i], &name.any, sizeof name.v4));
    name = inet_own(shared[i]);
  }
  // The loopback interface takes part in multicast for whoever asks by its index.
  int member = inet_bound(SOCK_DGRAM, "0.0.0.0");
  struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(0xefff0123), .imr_ifindex = (int)if_nametoindex("lo")};
  bool joined = setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0;
  guest_fence();
  CHECK_EQ(option_of(fd, SOL_SOCKET, SO_BROADCAST), 1);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_PKTINFO), 1);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_RECVTTL), 1);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_RECVERR), 1);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_MULTICAST_TTL), 7);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_TTL), 33);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_TOS), 0x20);
  CHECK_EQ(option_of(fd, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO);
  CHECK_EQ(option_of(fd, SOL_SOCKET, SO_RCVBUF), 100000);
  CHECK_EQ(option_of(fd, SOL_SOCKET, SO_TIMESTAMPNS), 1);
  CHECK_EQ(option_of(fd, SOL_SOCKET, SO_REUSEADDR), 0);
  wait_events(refused, POLLERR);
  CHECK_EQ(option_of(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  char byte;
  CHECK_EQ(recv(deaf, &byte, 1, 0), 0);
  put(deaf, "spoken");
  take(fd, "spoken");
  for (int i = 0; i < 2; ++i) {
    inet_same(inet_own(shared[i]), name);
    CHECK_EQ(option_of(shared[i], SOL_SOCKET, SO_REUSEPORT), 1);
  }
  if (joined) {
    // A member still: it can leave, but only once.
    SYS(setsockopt(member, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group));
    CHECK_ERRNO(setsockopt(member, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group), EADDRNOTAVAIL);
  }
  return guest_pass();
}
