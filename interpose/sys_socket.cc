// Making sockets, and their options: socket(2), setsockopt(2), getsockopt(2). Which sockets there are decides which
// messages of a process are looked at (message_traps.h); SO_PEERCRED names a process (unix(7)).
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include "interpose/inet_socket.h"
#include "interpose/make_again.h"
#include "interpose/message_traps.h"
#include "interpose/shared.h"
#include "interpose/stacked_filter.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace beam::interpose {
namespace {

// --- which processes are looked at ---

struct StackTraps : CallInProgress {
  unsigned traps = 0;
  void at_exit(ExitCall& call) override {
    Process& process = *call.task().process;
    const unsigned missing = traps & ~process.message_traps.load();
    if (missing != 0 && stack_filter_somehow(call.task(), call.tracee(), message_filter(missing),
                                             "messages with credentials carry host ids")) {
      process.message_traps |= missing;
    }
  }
};

Rewrite with_traps(const RewriteCall& call, unsigned traps) {
  if ((traps & ~call.task().process->message_traps.load()) == 0) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<StackTraps>();
  progress->traps = traps;
  return Rewrite::until_exit(std::move(progress));
}

struct StackTrapsFirst : StackTraps {
  void at_exit(ExitCall& call) override {
    StackTraps::at_exit(call);
    call.task().process->message_traps |= traps;  // or it would be tried for ever
    make_again(call, number);
  }
};

}  // namespace

Rewrite again_with_traps(RewriteCall& call, unsigned traps) {
  auto progress = std::make_unique<StackTrapsFirst>();
  progress->traps = traps;
  skip_to_exit(call);
  return Rewrite::until_exit(std::move(progress));
}

namespace {

// What rtnetlink answers is about the workstation (route_view.h).
unsigned traps_for(int family) {
  return family == AF_NETLINK ? kTrapReceives : kTrapSends;
}

Answer made_socket(const AnswerCall& call, int family) {
  return (call.caller.process->message_traps.load() & traps_for(family)) != 0 ? Answer::pass() : Answer::escalate();
}

constexpr std::uint64_t kTypeMask = 0xf;  // SOCK_TYPE_MASK of the kernel, less SOCK_CLOEXEC and SOCK_NONBLOCK

// All but plain TCP: what messages carry names for, and what the network view does not know.
TrapWhen sockets_of_interest() {
  TrapWhen when{{is(0, AF_UNIX)},
                {is(0, AF_NETLINK), is(2, NETLINK_ROUTE)},
                {is_not(0, AF_UNIX), is_not(0, AF_INET), is_not(0, AF_INET6), is_not(0, AF_NETLINK)}};
  for (const int family : {AF_INET, AF_INET6}) {
    when.push_back({is(0, static_cast<std::uint64_t>(family)), is_not(1, SOCK_STREAM, kTypeMask)});
    when.push_back({is(0, static_cast<std::uint64_t>(family)), is_not(2, 0), is_not(2, IPPROTO_TCP)});
  }
  return when;
}

// Of a sandbox that reaches nothing outside: 0, or how a kernel refuses what it has not, or what the caller may not
// have.
int refused_without_outside(int family, int type, int protocol) {
  switch (family) {
    case AF_UNIX:
    case AF_NETLINK:
    case AF_ALG:
      return 0;
    case AF_INET:
    case AF_INET6:
      break;
    default:
      return EAFNOSUPPORT;
  }
  switch (protocol) {
    case 0:
      return (type & kTypeMask) == SOCK_RAW ? EPROTONOSUPPORT : 0;
    case IPPROTO_TCP:
    case IPPROTO_MPTCP:
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
      return (type & kTypeMask) == SOCK_RAW ? EPERM : 0;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return EACCES;
    default:
      return (type & kTypeMask) == SOCK_RAW ? EPERM : EPROTONOSUPPORT;
  }
}

BEAM_SYSCALL_WHEN(socket, Strategy::kAnswer, (sockets_of_interest()), int family, int type, int protocol) {
  const bool has_network = call.shared.options.network != nullptr;
  if (has_network && !call.shared.options.outside) {
    if (const int error = refused_without_outside(family, type, protocol); error != 0) {
      return Answer::error(error);
    }
  }
  const bool datagrams = (family == AF_INET || family == AF_INET6) && (type & kTypeMask) == SOCK_DGRAM;
  const bool carries_names = family == AF_UNIX || (has_network && (datagrams || family == AF_NETLINK));
  return carries_names ? made_socket(call, family) : Answer::pass();
}
BEAM_ESCALATED(socket, int family, int, int) {
  return with_traps(call, traps_for(family));
}

BEAM_SYSCALL_WHEN(socketpair, Strategy::kAnswer, (TrapWhen{{is(0, AF_UNIX)}}), int family, int type, int protocol,
                  RemotePtr<int> pair) {
  (void)type, (void)protocol, (void)pair;
  return made_socket(call, family);
}
BEAM_ESCALATED(socketpair, int, int, int, RemotePtr<int>) {
  return with_traps(call, kTrapSends);
}

// The program makes its call again, once the event thread has done what was posted meanwhile.
struct MakeAgain : CallInProgress {
  void at_exit(ExitCall& call) override {
    make_again(call, number);
    call.tracer().post([](Tracer& tracer) { trap_all_receives(tracer); });
  }
};

}  // namespace

Rewrite again_with_all_receives(RewriteCall& call) {
  skip_to_exit(call);
  return Rewrite::until_exit(std::make_unique<MakeAgain>());
}

namespace {

constexpr unsigned kBoth = kTrapSends | kTrapReceives;

BEAM_SYSCALL_WHEN(setsockopt, Strategy::kAnswer, (TrapWhen{{is(1, SOL_SOCKET), is(2, SO_PASSCRED)}}), GuestFd fd,
                  int level, int option, RemotePtr<void> value, std::uint64_t size) {
  (void)fd, (void)level, (void)option, (void)value, (void)size;
  return (call.caller.process->message_traps.load() & kBoth) == kBoth ? Answer::pass() : Answer::escalate();
}

BEAM_ESCALATED(setsockopt, GuestFd, int, int, RemotePtr<void>, std::uint64_t) {
  if ((call.shared().message_traps.load() & kTrapReceives) != 0) {
    return with_traps(call, kBoth);
  }
  return again_with_all_receives(call);
}

// --- credentials of a connection's peer ---

// IPV6_V6ONLY, which the network view keeps for the program (inet_calls.h).
Answer show_v6_only(const AnswerCall& call, GuestFd fd, RemotePtr<void> value, RemotePtr<socklen_t> length) {
  const ns::NetworkSpace* network = call.shared.options.network.get();
  int error = 0;
  const InetSocket socket = network != nullptr ? open_socket(call, fd, error) : InetSocket();
  if (network == nullptr || error != 0 || socket.family != AF_INET6 || !network->v6_only(socket.cookie())) {
    return Answer::pass();
  }
  int size = 0;
  const int on = 1;
  if (call.memory().read(length.address(), &size, sizeof size) != 0) {
    return Answer::error(EFAULT);
  }
  if (size < 0) {
    return Answer::error(EINVAL);
  }
  size = std::min(size, static_cast<int>(sizeof on));
  return Answer::error(call.memory().write(value.address(), &on, static_cast<std::size_t>(size)) != 0 ||
                               call.memory().write(length.address(), &size, sizeof size) != 0
                           ? EFAULT
                           : 0);
}

BEAM_SYSCALL_WHEN(getsockopt, Strategy::kAnswer,
                  (TrapWhen{{is(1, SOL_SOCKET), is(2, SO_PEERCRED)}, {is(1, IPPROTO_IPV6), is(2, IPV6_V6ONLY)}}),
                  GuestFd fd, int level, int option, RemotePtr<void> value, RemotePtr<socklen_t> length) {
  (void)option;
  if (level == IPPROTO_IPV6) {
    return show_v6_only(call, fd, value, length);
  }
  int error = 0;
  const UniqueFd copy = call.descriptor(fd, error);
  if (!copy) {
    return Answer::error(-error);
  }
  socklen_t size = 0;
  if (call.memory().read(length, size) != 0) {
    return Answer::error(EFAULT);
  }
  if (static_cast<int>(size) < 0) {
    return Answer::error(EINVAL);
  }
  ucred peer{};
  socklen_t got = sizeof peer;
  if (::getsockopt(copy.get(), SOL_SOCKET, SO_PEERCRED, &peer, &got) != 0) {
    return Answer::error(errno);
  }
  peer.pid = call.shared.pids.to_virtual(HostPid(peer.pid)).value();
  got = std::min(size, got);
  if (call.memory().write(value.address(), &peer, got) != 0 || call.memory().write(length, got) != 0) {
    return Answer::error(EFAULT);
  }
  return Answer::result(0);
}

}  // namespace
}  // namespace beam::interpose
