#include <sys/random.h>
// Sockets in states that few programs bring them to, across a freeze: options of every level, names that are gone,
// relative or chosen by the kernel, halves that are shut, datagrams to oneself, protocols that are rare, descriptors of
// every kind in flight, connections in each state of their end.
#include <linux/filter.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "case.h"
#include "inet.h"
#include "sock.h"

// Abstract names are everybody's on the machine, and so are those of the same guest that runs beside this one.
static const char* own_name(const char* prefix) {
  static char names[4][64];
  static int count = 0;
  for (int i = 0; i < count; ++i) {
    if (strncmp(names[i], prefix, strlen(prefix)) == 0) {
      return names[i];
    }
  }
  unsigned long long unique;
  CHECK_EQ(getrandom(&unique, sizeof unique, 0), sizeof unique);
  snprintf(names[count], sizeof names[count], "%s-%llx", prefix, unique);
  return names[count++];
}

static int listening(int family, struct sockaddr_storage* name, socklen_t* size) {
  int fd = SYS(socket(family, SOCK_STREAM, 0));
  memset(name, 0, sizeof *name);
  name->ss_family = (sa_family_t)family;
  *size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  if (family == AF_INET) {
    ((struct sockaddr_in*)name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    ((struct sockaddr_in6*)name)->sin6_addr = in6addr_loopback;
  }
  SYS(bind(fd, (struct sockaddr*)name, *size));
  SYS(listen(fd, 8));
  SYS(getsockname(fd, (struct sockaddr*)name, size));
  return fd;
}

static void connection(int family, int* client, int* server) {
  struct sockaddr_storage name;
  socklen_t size;
  int listener = listening(family, &name, &size);
  *client = SYS(socket(family, SOCK_STREAM, 0));
  SYS(connect(*client, (struct sockaddr*)&name, size));
  *server = SYS(accept(listener, NULL, NULL));
  SYS(close(listener));
}

static int state_of(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  SYS(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
  return info.tcpi_state;
}

struct option {
  int level, name, value;
};

static void options_kept(int fd, const struct option* options, int count) {
  int before[32];
  CHECK(count <= 32);
  for (int i = 0; i < count; ++i) {
    if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) != 0) {
      FAIL("option %d of level %d: errno %d", options[i].name, options[i].level, errno);
    }
    before[i] = option_of(fd, options[i].level, options[i].name);
  }
  case_wait();
  for (int i = 0; i < count; ++i) {
    if (option_of(fd, options[i].level, options[i].name) != before[i]) {
      FAIL("option %d of level %d: got %d, expected %d", options[i].name, options[i].level,
           option_of(fd, options[i].level, options[i].name), before[i]);
    }
  }
}

static void general_options(void) {
  static const struct option options[] = {
      {SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_REUSEPORT, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1},
      {SOL_SOCKET, SO_SNDBUF, 30000}, {SOL_SOCKET, SO_RCVBUF, 40000}, {SOL_SOCKET, SO_BROADCAST, 1},
      {SOL_SOCKET, SO_PRIORITY, 4}, {SOL_SOCKET, SO_OOBINLINE, 1}, {SOL_SOCKET, SO_RCVLOWAT, 3},
      {SOL_SOCKET, SO_DONTROUTE, 1}, {SOL_SOCKET, SO_TIMESTAMP, 1}, {SOL_SOCKET, SO_NO_CHECK, 1},
      {SOL_SOCKET, SO_RXQ_OVFL, 1}, {SOL_SOCKET, SO_BUSY_POLL, 0},
      {SOL_SOCKET, SO_MAX_PACING_RATE, 123456}, {SOL_SOCKET, SO_ZEROCOPY, 1}, {SOL_SOCKET, SO_INCOMING_CPU, 1},
      {SOL_SOCKET, 72 /* SO_BUF_LOCK */, 3},
  };
  options_kept(SYS(socket(AF_INET, SOCK_STREAM, 0)), options, sizeof options / sizeof *options);
}

static void stamp_options(void) {
  static const struct option options[] = {
      {SOL_SOCKET, SO_TIMESTAMPNS, 1}, {SOL_SOCKET, SO_TIMESTAMPING, 16 | 128}, {SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1},
  };
  options_kept(SYS(socket(AF_INET, SOCK_DGRAM, 0)), options, sizeof options / sizeof *options);
}

static void address_options(void) {
  static const struct option options[] = {
      {SOL_IP, IP_TTL, 33}, {SOL_IP, IP_TOS, 0x28}, {SOL_IP, IP_PKTINFO, 1}, {SOL_IP, IP_RECVTTL, 1},
      {SOL_IP, IP_RECVTOS, 1}, {SOL_IP, IP_RECVERR, 1}, {SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO},
      {SOL_IP, IP_FREEBIND, 1}, {SOL_IP, IP_MULTICAST_TTL, 7}, {SOL_IP, IP_MULTICAST_LOOP, 0},
      {SOL_IP, IP_RECVOPTS, 1}, {SOL_IP, IP_RETOPTS, 1}, {SOL_IP, IP_MINTTL, 3},
      {SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1}, {SOL_IP, IP_MULTICAST_ALL, 0}, {SOL_IP, IP_RECVORIGDSTADDR, 1},
      {SOL_IP, IP_CHECKSUM, 1}, {SOL_IP, IP_RECVFRAGSIZE, 1},
  };
  options_kept(SYS(socket(AF_INET, SOCK_DGRAM, 0)), options, sizeof options / sizeof *options);
}

static void address_options_6(void) {
  static const struct option options[] = {
      {SOL_IPV6, IPV6_V6ONLY, 1}, {SOL_IPV6, IPV6_UNICAST_HOPS, 44}, {SOL_IPV6, IPV6_MULTICAST_HOPS, 9},
      {SOL_IPV6, IPV6_MULTICAST_LOOP, 0}, {SOL_IPV6, IPV6_RECVPKTINFO, 1}, {SOL_IPV6, IPV6_RECVHOPLIMIT, 1},
      {SOL_IPV6, IPV6_RECVTCLASS, 1}, {SOL_IPV6, IPV6_TCLASS, 0x20}, {SOL_IPV6, IPV6_RECVERR, 1},
      {SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO}, {SOL_IPV6, IPV6_DONTFRAG, 1}, {SOL_IPV6, IPV6_AUTOFLOWLABEL, 1},
      {SOL_IPV6, IPV6_FREEBIND, 1}, {SOL_IPV6, IPV6_MULTICAST_ALL, 0}, {SOL_IPV6, IPV6_MINHOPCOUNT, 2},
  };
  options_kept(SYS(socket(AF_INET6, SOCK_DGRAM, 0)), options, sizeof options / sizeof *options);
}

static void stream_options(void) {
  static const struct option options[] = {
      {SOL_TCP, TCP_NODELAY, 1}, {SOL_TCP, TCP_CORK, 1}, {SOL_TCP, TCP_KEEPIDLE, 100}, {SOL_TCP, TCP_KEEPINTVL, 30},
      {SOL_TCP, TCP_KEEPCNT, 5}, {SOL_TCP, TCP_SYNCNT, 3}, {SOL_TCP, TCP_LINGER2, 20}, {SOL_TCP, TCP_DEFER_ACCEPT, 3},
      {SOL_TCP, TCP_WINDOW_CLAMP, 20000}, {SOL_TCP, TCP_USER_TIMEOUT, 9000}, {SOL_TCP, TCP_MAXSEG, 1000},
      {SOL_TCP, TCP_NOTSENT_LOWAT, 5000}, {SOL_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1}, {SOL_TCP, TCP_SAVE_SYN, 1},
      {SOL_TCP, TCP_INQ, 1}, {SOL_TCP, TCP_FASTOPEN_CONNECT, 1},
  };
  options_kept(SYS(socket(AF_INET, SOCK_STREAM, 0)), options, sizeof options / sizeof *options);
}

static void times_and_linger(void) {
  int fd = SYS(socket(AF_INET, SOCK_STREAM, 0));
  struct timeval receive = {5, 250000}, send = {7, 500000}, got;
  struct linger linger = {1, 42}, kept;
  SYS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive));
  SYS(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof send));
  SYS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  SYS(setsockopt(fd, SOL_TCP, TCP_CONGESTION, "reno", 4));
  char device[16] = "lo";
  int bound = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, 3);
  case_wait();
  socklen_t size = sizeof got;
  SYS(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &size));
  CHECK(got.tv_sec == 5 && got.tv_usec >= 250000 && got.tv_usec < 260000);
  SYS(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &got, &size));
  CHECK(got.tv_sec == 7 && got.tv_usec >= 500000 && got.tv_usec < 510000);
  size = sizeof kept;
  SYS(getsockopt(fd, SOL_SOCKET, SO_LINGER, &kept, &size));
  CHECK_EQ(kept.l_onoff, 1);
  CHECK_EQ(kept.l_linger, 42);
  char text[32] = "";
  size = sizeof text;
  SYS(getsockopt(fd, SOL_TCP, TCP_CONGESTION, text, &size));
  CHECK_STR(text, "reno");
  if (bound == 0) {
    size = sizeof text;
    memset(text, 0, sizeof text);
    SYS(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, text, &size));
    CHECK_STR(text, "lo");
  }
}

static void filters(void) {
  struct sock_filter all[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'k', 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, 0xffff), BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog program = {4, all};
  int fd = SYS(socket(AF_INET, SOCK_DGRAM, 0)), locked = SYS(socket(AF_INET6, SOCK_DGRAM, 0));
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  SYS(bind(fd, (struct sockaddr*)&name, sizeof name));
  socklen_t size = sizeof name;
  SYS(getsockname(fd, (struct sockaddr*)&name, &size));
  SYS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  SYS(setsockopt(locked, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  set_option(locked, SOL_SOCKET, SO_LOCK_FILTER, 1);
  case_wait();
  int sender = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  CHECK_EQ(sendto(sender, "xxx", 3, 0, (struct sockaddr*)&name, size), 3);
  CHECK_EQ(sendto(sender, "kept", 4, 0, (struct sockaddr*)&name, size), 4);
  take(fd, "kept");
  take_nothing(fd);
  CHECK_EQ(option_of(locked, SOL_SOCKET, SO_LOCK_FILTER), 1);
  CHECK_ERRNO(setsockopt(locked, SOL_SOCKET, SO_DETACH_FILTER, &program, sizeof program), EPERM);
  struct sock_filter got[8];
  size = 8;
  SYS(getsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, got, &size));
  CHECK_EQ(size, 4);
  CHECK_EQ(memcmp(got, all, sizeof all), 0);
}

static void unix_names(void) {
  int gone = un_bound(SOCK_STREAM, "socket-gone");
  SYS(listen(gone, 3));
  int client = un_client(SOCK_STREAM, "socket-gone");
  put(client, "early");
  SYS(unlink("socket-gone"));
  SYS(mkdir("socket-directory", 0755));
  SYS(chdir("socket-directory"));
  int relative = un_bound(SOCK_DGRAM, "./relative");
  SYS(chdir(".."));
  int abstract = un_bound(SOCK_SEQPACKET, own_name("@kept-abstract"));
  SYS(listen(abstract, 1));
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int automatic = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  SYS(bind(automatic, (struct sockaddr*)&name, sizeof(sa_family_t)));
  struct sockaddr_un chosen;
  socklen_t size = sizeof chosen, after_size = sizeof chosen;
  SYS(getsockname(automatic, (struct sockaddr*)&chosen, &size));
  int unbound = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  case_wait();
  int server = SYS(accept(gone, NULL, NULL));
  take(server, "early");
  un_check_own(gone, "socket-gone");
  un_check_peer(client, "socket-gone");
  CHECK_ERRNO(un_connect(unbound, "socket-gone"), ENOENT);
  un_check_own(relative, "./relative");
  int sender = un_client(SOCK_DGRAM, "socket-directory/relative");
  put(sender, "found");
  take(relative, "found");
  un_client(SOCK_SEQPACKET, own_name("@kept-abstract"));
  struct sockaddr_un after;
  SYS(getsockname(automatic, (struct sockaddr*)&after, &after_size));
  CHECK_EQ(after_size, size);
  CHECK_EQ(memcmp(&after, &chosen, size), 0);
}

static void unix_replaced(void) {
  // A FIFO, and another socket, now stand where sockets were bound.
  int old = un_bound(SOCK_STREAM, "replaced-socket");
  SYS(listen(old, 1));
  int connected = un_client(SOCK_STREAM, "replaced-socket");
  SYS(unlink("replaced-socket"));
  int new = un_bound(SOCK_STREAM, "replaced-socket");
  SYS(listen(new, 1));
  int under = un_bound(SOCK_DGRAM, "replaced-fifo");
  SYS(unlink("replaced-fifo"));
  SYS(mkfifo("replaced-fifo", 0600));
  int fifo = SYS(open("replaced-fifo", O_RDWR));
  CHECK_EQ(write(fifo, "f", 1), 1);
  case_wait();
  int server = SYS(accept(old, NULL, NULL));
  put(connected, "old");
  take(server, "old");
  int client = un_client(SOCK_STREAM, "replaced-socket");
  put(client, "new");
  take(SYS(accept(new, NULL, NULL)), "new");
  un_check_own(under, "replaced-fifo");
  char byte;
  CHECK_EQ(read(fifo, &byte, 1), 1);
}

static void unix_to_oneself(void) {
  int fd = un_bound(SOCK_DGRAM, own_name("@kept-self"));
  SYS(un_connect(fd, own_name("@kept-self")));
  put(fd, "one");
  put(fd, "two");
  int stream[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
  put(stream[0], "shut");
  SYS(shutdown(stream[0], SHUT_WR));
  SYS(shutdown(stream[1], SHUT_WR));
  int none[2];
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, none));
  SYS(shutdown(none[0], SHUT_RD));
  case_wait();
  take(fd, "one");
  take(fd, "two");
  take(stream[1], "shut");
  take_end(stream[1]);
  take_end(stream[0]);
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERRNO(send(none[1], "x", 1, 0), EPIPE);
  un_check_peer(fd, own_name("@kept-self"));
}

static void unix_modes(void) {
  int fd = un_bound(SOCK_STREAM, "socket-mode");
  SYS(listen(fd, 1));
  SYS(chmod("socket-mode", 0604));
  SYS(fchmod(fd, 0700));
  SYS(fcntl(fd, F_SETFL, O_NONBLOCK));
  case_wait();
  struct stat info;
  SYS(stat("socket-mode", &info));
  CHECK(S_ISSOCK(info.st_mode));
  CHECK_EQ(info.st_mode & 0777, 0604);
  CHECK_ERRNO(accept(fd, NULL, NULL), EAGAIN);
  un_client(SOCK_STREAM, "socket-mode");
}

static void flying(void) {
  int pair[2], other[2], pipe_ends[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, other));
  SYS(pipe(pipe_ends));
  int file = SYS(open("flying", O_CREAT | O_RDWR, 0600));
  CHECK_EQ(write(file, "file", 4), 4);
  SYS(unlink("flying"));
  put(other[0], "inside");
  CHECK_EQ(write(pipe_ends[1], "pipe", 4), 4);
  int fds[] = {file, other[1], pipe_ends[0], pair[1]};
  put_fds(pair[0], "four", fds, 4);
  SYS(close(file));
  SYS(close(other[1]));
  SYS(close(pipe_ends[0]));
  case_wait();
  int got[4];
  take_fds(pair[1], "four", got, 4);
  char text[8] = "";
  CHECK_EQ(pread(got[0], text, 8, 0), 4);
  CHECK_STR(text, "file");
  take(got[1], "inside");
  CHECK_EQ(read(got[2], text, 8), 4);
  CHECK_STR(text, "pipe");
  put(pair[0], "more");
  take(got[3], "more");
}

static void connection_states(int family) {
  int client[6], server[6];
  for (int i = 0; i < 6; ++i) {
    connection(family, &client[i], &server[i]);
    put(client[i], "to-server");
    put(server[i], "to-client");
  }
  SYS(shutdown(client[1], SHUT_WR));   // FIN-WAIT2 and CLOSE-WAIT
  SYS(shutdown(server[2], SHUT_WR));
  SYS(shutdown(client[2], SHUT_WR));   // both
  SYS(close(client[3]));               // data and reset
  take(server[4], "to-server");
  SYS(shutdown(client[4], SHUT_RDWR));
  set_option(client[5], SOL_TCP, TCP_NODELAY, 1);
  while (state_of(server[1]) != TCP_CLOSE_WAIT) {
    sched_yield();
  }
  case_wait();
  for (int i = 0; i < 6; ++i) {
    if (i != 3 && i != 4) {
      take(server[i], "to-server");
      take(client[i], "to-client");
    }
  }
  CHECK(state_of(client[1]) == TCP_FIN_WAIT2 || state_of(client[1]) == TCP_FIN_WAIT1);  // the answer may be delayed
  CHECK_EQ(state_of(server[1]), TCP_CLOSE_WAIT);
  take_end(server[1]);
  put(server[1], "late");
  take(client[1], "late");
  take_end(client[2]);
  take_end(server[2]);
  take_end(server[4]);
  CHECK_EQ(option_of(client[5], SOL_TCP, TCP_NODELAY), 1);
  put(client[0], "again");
  take(server[0], "again");
  put(client[5], "again");
  take(server[5], "again");
}

static void connection_states_4(void) { connection_states(AF_INET); }
static void connection_states_6(void) { connection_states(AF_INET6); }

static void connecting_to_nobody(void) {
  // Listening sockets that share a port, one that has been shut, and sockets that are only bound.
  struct sockaddr_storage name;
  socklen_t size = sizeof name;
  int first = SYS(socket(AF_INET, SOCK_STREAM, 0)), second = SYS(socket(AF_INET, SOCK_STREAM, 0));
  set_option(first, SOL_SOCKET, SO_REUSEPORT, 1);
  set_option(second, SOL_SOCKET, SO_REUSEPORT, 1);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  SYS(bind(first, (struct sockaddr*)&any, sizeof any));
  SYS(getsockname(first, (struct sockaddr*)&name, &size));
  SYS(bind(second, (struct sockaddr*)&name, size));
  SYS(listen(first, 8));  // all clients may come to one of the two
  SYS(listen(second, 8));
  int bound = SYS(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
  SYS(bind(bound, (struct sockaddr*)&six, sizeof six));
  socklen_t six_size = sizeof six;
  SYS(getsockname(bound, (struct sockaddr*)&six, &six_size));
  struct sockaddr_storage gone;
  socklen_t gone_size;
  int shut = listening(AF_INET, &gone, &gone_size);
  SYS(shutdown(shut, SHUT_RDWR));
  case_wait();
  int clients[8];
  for (int i = 0; i < 4; ++i) {
    clients[i] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(clients[i], (struct sockaddr*)&name, size));
  }
  struct sockaddr_in6 after;
  socklen_t after_size = sizeof after;
  SYS(getsockname(bound, (struct sockaddr*)&after, &after_size));
  CHECK_EQ(after.sin6_port, six.sin6_port);
  SYS(listen(bound, 1));
  CHECK_ERRNO(connect(SYS(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr*)&gone, gone_size), ECONNREFUSED);
}

static void datagrams(void) {
  int a = SYS(socket(AF_INET, SOCK_DGRAM, 0)), b = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, other = name;
  socklen_t size = sizeof name;
  SYS(bind(a, (struct sockaddr*)&name, size));
  SYS(getsockname(a, (struct sockaddr*)&name, &size));
  SYS(bind(b, (struct sockaddr*)&other, size));
  SYS(getsockname(b, (struct sockaddr*)&other, &size));
  SYS(connect(b, (struct sockaddr*)&name, size));
  put(b, "waiting");
  int group = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  struct ip_mreqn request = {.imr_multiaddr = {htonl(0xe0000139)}, .imr_ifindex = 1};
  SYS(setsockopt(group, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
  int shut = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  SYS(connect(shut, (struct sockaddr*)&name, size));
  SYS(shutdown(shut, SHUT_RD));
  int broadcast = SYS(socket(AF_INET, SOCK_DGRAM, 0));
  set_option(broadcast, SOL_SOCKET, SO_BROADCAST, 1);
  struct sockaddr_in all = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_BROADCAST)}};
  SYS(bind(broadcast, (struct sockaddr*)&all, sizeof all));
  case_wait();
  char text[16] = "";
  struct sockaddr_in from;
  CHECK_EQ(recvfrom(a, text, sizeof text, MSG_DONTWAIT, (struct sockaddr*)&from, &size), 7);
  CHECK_EQ(from.sin_port, other.sin_port);
  CHECK_EQ(sendto(a, "back", 4, 0, (struct sockaddr*)&other, sizeof other), 4);
  take(b, "back");
  CHECK_ERRNO(setsockopt(group, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof request), EADDRINUSE);
  CHECK_EQ(recv(shut, text, 1, 0), 0);
  struct sockaddr_in still;
  size = sizeof still;
  SYS(getsockname(broadcast, (struct sockaddr*)&still, &size));
  CHECK_EQ(still.sin_addr.s_addr, htonl(INADDR_BROADCAST));
}

static void echo_requests(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);  // EACCES: not for this group (net.ipv4.ping_group_range)
  case_wait();
  if (fd >= 0) {
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_ICMP);
  }
}

static void netlink_kinds(void) {
  int protocols[] = {NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC, NETLINK_AUDIT, NETLINK_SELINUX,
                     NETLINK_CONNECTOR, NETLINK_NETFILTER, NETLINK_XFRM};
  int fds[9], count = 0;
  struct sockaddr_nl before[9];
  for (int i = 0; i < 9; ++i) {
    int fd = socket(AF_NETLINK, SOCK_RAW, protocols[i]);
    if (fd >= 0) {
      struct sockaddr_nl name = {.nl_family = AF_NETLINK};
      SYS(bind(fd, (struct sockaddr*)&name, sizeof name));
      socklen_t size = sizeof name;
      SYS(getsockname(fd, (struct sockaddr*)&before[count], &size));
      fds[count++] = fd;
    }
  }
  int connected = SYS(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE));
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  SYS(connect(connected, (struct sockaddr*)&kernel, sizeof kernel));
  case_wait();
  for (int i = 0; i < count; ++i) {
    struct sockaddr_nl name;
    socklen_t size = sizeof name;
    SYS(getsockname(fds[i], (struct sockaddr*)&name, &size));
    CHECK_EQ(name.nl_pid, before[i].nl_pid);
  }
}

static void urgent_unix(void) {
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int first[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first));
  char big[300000];
  memset(big, 'b', sizeof big);
  ssize_t sent = SYS(send(first[0], big, sizeof big, MSG_DONTWAIT));
  case_wait();
  ssize_t got = 0, one;
  while ((one = recv(first[1], big, sizeof big, MSG_DONTWAIT)) > 0) {
    got += one;
  }
  CHECK_EQ(got, sent);
}

static void full_datagrams(void) {
  int server = un_bound(SOCK_DGRAM, own_name("@kept-full")), client = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  SYS(un_connect(client, own_name("@kept-full")));
  int count = 0;
  while (send(client, &count, sizeof count, MSG_DONTWAIT) == sizeof count) {
    ++count;
  }
  CHECK_EQ(errno, EAGAIN);
  case_wait();
  for (int i = 0; i < count; ++i) {
    int got = -1;
    CHECK_EQ(recv(server, &got, sizeof got, MSG_DONTWAIT), sizeof got);
    CHECK_EQ(got, i);
  }
  take_nothing(server);
}

int main(void) {
  guest_begin();
  static const struct guest_case cases[] = {
      {"general_options", general_options}, {"stamp_options", stamp_options}, {"address_options", address_options},
      {"address_options_6", address_options_6}, {"stream_options", stream_options},
      {"times_and_linger", times_and_linger}, {"filters", filters}, {"unix_names", unix_names},
      {"unix_replaced", unix_replaced}, {"unix_to_oneself", unix_to_oneself}, {"unix_modes", unix_modes},
      {"flying", flying}, {"connection_states_4", connection_states_4}, {"connection_states_6", connection_states_6},
      {"connecting_to_nobody", connecting_to_nobody}, {"datagrams", datagrams}, {"echo_requests", echo_requests}, {"netlink_kinds", netlink_kinds}, {"urgent_unix", urgent_unix},
      {"full_datagrams", full_datagrams},
  };
  return CASES(cases);
}
