// Netlink sockets that wait for nothing: their port id, groups and options stay, and they answer afterwards.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "sock.h"

static void ask(int fd) {
  struct {
    struct nlmsghdr header;
    struct rtgenmsg message;
  } request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}, {AF_UNSPEC}};
  CHECK_EQ(SYS(send(fd, &request, sizeof request, 0)), sizeof request);
  bool any = false;
  for (;;) {
    static char buffer[65536] __attribute__((aligned(4)));
    ssize_t got = SYS(recv(fd, buffer, sizeof buffer, 0));
    int left = (int)got;
    for (struct nlmsghdr* at = (struct nlmsghdr*)buffer; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE) {
        CHECK(any);
        return;
      }
      CHECK_EQ(at->nlmsg_type, RTM_NEWLINK);
      CHECK_EQ(at->nlmsg_seq, 7);
      any = true;
    }
  }
}

int main(void) {
  guest_begin();
  int route = SYS(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
  SYS(bind(route, (struct sockaddr*)&name, sizeof name));
  struct sockaddr_nl own;
  socklen_t size = sizeof own;
  SYS(getsockname(route, (struct sockaddr*)&own, &size));
  int plain = SYS(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  set_option(plain, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set_option(plain, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  int generic = SYS(socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC));
  for (int round = 0; round < 2; ++round) {
    guest_fence();
    struct sockaddr_nl now;
    size = sizeof now;
    SYS(getsockname(route, (struct sockaddr*)&now, &size));
    CHECK_EQ(now.nl_pid, own.nl_pid);
    CHECK_EQ(now.nl_groups, own.nl_groups);
    CHECK_EQ(option_of(plain, SOL_NETLINK, NETLINK_EXT_ACK), 1);
    CHECK_EQ(option_of(plain, SOL_NETLINK, NETLINK_CAP_ACK), 1);
    size = sizeof now;
    SYS(getsockname(generic, (struct sockaddr*)&now, &size));
    CHECK_EQ(now.nl_pid, 0);
    ask(route);
    ask(plain);
  }
  return guest_pass();
}
