// Process ids that go over sockets in messages (unix(7), SCM_CREDENTIALS). Which messages are looked at is said in
// message_traps.h; what goes without control data passes even then.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>
#include "interpose/agent/layout.h"
#include "interpose/host_path.h"
#include "interpose/make_again.h"
#include "interpose/message_names.h"
#include "interpose/message_traps.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "interpose/unix_calls.h"

namespace beam::interpose {
namespace {

// --- control data ---

// Calls `each` with every SCM_CREDENTIALS in control data: the place of its pid, as far as that is there.
template <typename Each>
void for_credentials(std::span<const std::byte> control, Each each) {
  std::size_t at = 0;
  while (at + sizeof(cmsghdr) <= control.size()) {
    cmsghdr header{};
    std::memcpy(&header, control.data() + at, sizeof header);
    if (header.cmsg_len < sizeof header) {
      return;
    }
    const std::size_t pid = at + CMSG_LEN(0) + offsetof(ucred, pid);
    if (header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_CREDENTIALS &&
        header.cmsg_len >= CMSG_LEN(sizeof(pid_t)) && pid + sizeof(pid_t) <= control.size()) {
      each(pid);
    }
    if (header.cmsg_len > control.size() - at) {
      return;
    }
    at += CMSG_ALIGN(header.cmsg_len);
  }
}

// --- receiving ---

// Where a message's control data goes, as the program asked: it may change its header while it waits.
struct ControlBuffer {
  std::uint64_t header = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint64_t name = 0;  // where the sender's address goes
  socklen_t name_room = 0;
};

// The path that a sender's socket was bound by, in place of the one that the kernel knows.
void show_sender(const ExitCall& call, const ControlBuffer& buffer) {
  sockaddr_storage name{};
  socklen_t length = 0;
  const std::uint64_t length_at = buffer.header + offsetof(msghdr, msg_namelen);
  if (buffer.name == 0 || call.memory().read(length_at, &length, sizeof length) != 0) {
    return;
  }
  length = std::min<socklen_t>({length, buffer.name_room, sizeof name});
  if (length == 0 || call.memory().read(buffer.name, &name, length) != 0) {
    return;
  }
  if (show_unix_name(call.shared(), name, length)) {
    (void)call.memory().write(buffer.name, &name, std::min(length, buffer.name_room));
    (void)call.memory().write(length_at, &length, sizeof length);
  }
}

void translate_received(const ExitCall& call, const ControlBuffer& buffer) {
  std::uint64_t size = 0;
  if (buffer.size == 0 ||
      call.memory().read(buffer.header + offsetof(msghdr, msg_controllen), &size, sizeof size) != 0) {
    return;
  }
  std::vector<std::byte> control(std::min(size, buffer.size));
  if (control.empty() || call.memory().read(buffer.address, control.data(), control.size()) != 0) {
    return;
  }
  for_credentials(control, [&](std::size_t at) {
    pid_t host = 0;
    std::memcpy(&host, control.data() + at, sizeof host);
    const pid_t shown = call.shared().pids.to_virtual(HostPid(host)).value();
    (void)call.memory().write(buffer.address + at, &shown, sizeof shown);
  });
}

struct Receive : CallInProgress {
  std::vector<ControlBuffer> buffers;
  bool many = false;
  void at_exit(ExitCall& call) override {
    if (call.result() < 0) {
      return;
    }
    const std::size_t got = many ? static_cast<std::size_t>(call.result()) : 1;
    for (std::size_t i = 0; i < got && i < buffers.size(); ++i) {
      translate_received(call, buffers[i]);
      show_sender(call, buffers[i]);
    }
  }
};

constexpr std::size_t kMostControl = 1 << 20;  // far above any net.core.optmem_max
constexpr unsigned kMostMessages = 1024;       // UIO_MAXIOV, linux/uio.h

bool carries_credentials(const RewriteCall& call, int fd) {
  int error = 0;
  const UniqueFd copy = copy_descriptor(call.task().tid, *call.task().process, fd, error);
  int family = 0;
  socklen_t size = sizeof family;
  return copy && ::getsockopt(copy.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
         (family == AF_UNIX || family == AF_NETLINK);
}

std::optional<ControlBuffer> control_buffer(const RewriteCall& call, std::uint64_t address) {
  msghdr header{};
  if (call.memory().read(address, &header, sizeof header) != 0) {
    return std::nullopt;
  }
  return ControlBuffer{address, reinterpret_cast<std::uint64_t>(header.msg_control),
                       header.msg_control == nullptr ? 0 : std::min<std::uint64_t>(header.msg_controllen, kMostControl),
                       call.shared().view == nullptr ? 0 : reinterpret_cast<std::uint64_t>(header.msg_name),
                       header.msg_namelen};
}

BEAM_ESCALATED(recvmsg, GuestFd fd, RemotePtr<msghdr> message, int flags) {
  (void)flags;
  if (auto named = receive_named(call, fd, message.address())) {
    return std::move(*named);
  }
  const auto buffer = control_buffer(call, message.address());
  if (!buffer || (buffer->size == 0 && buffer->name == 0) || !carries_credentials(call, fd.value())) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<Receive>();
  progress->buffers.push_back(*buffer);
  return Rewrite::until_exit(std::move(progress));
}

BEAM_ESCALATED(recvmmsg, GuestFd fd, RemotePtr<mmsghdr> messages, unsigned count, int flags,
               RemotePtr<timespec> timeout) {
  (void)flags, (void)timeout;
  if (auto named = receive_many_named(call, fd, messages.address(), count)) {
    return std::move(*named);
  }
  if (!carries_credentials(call, fd.value())) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<Receive>();
  progress->many = true;
  bool any = false;
  for (unsigned i = 0; i < std::min<unsigned>(count, kMostMessages); ++i) {
    const auto buffer = control_buffer(call, messages.address() + i * sizeof(mmsghdr));
    if (!buffer) {
      break;
    }
    any = any || buffer->size != 0 || buffer->name != 0;
    progress->buffers.push_back(*buffer);
  }
  return any ? Rewrite::until_exit(std::move(progress)) : Rewrite::pass();
}

// --- sending ---

// A message whose header and control data have been copied, with host ids in its credentials; where there is a mount
// view, with the workstation's path for the socket that it is sent to.
struct SentMessage {
  msghdr header{};
  std::vector<std::byte> control;
  UnixTarget target;
  int error = 0;         // it leads nowhere
  bool changed = false;  // what the program has does not do
  [[nodiscard]] std::size_t size() const { return sizeof header + control.size() + target.size; }
};

void find_target(Shared& shared, const Caller& caller, GuestFd fd, SentMessage& message) {
  if (message.header.msg_name == nullptr || shared.view == nullptr) {
    return;
  }
  AddressBytes bytes;
  std::string path;
  const int size = static_cast<int>(std::min<std::size_t>(message.header.msg_namelen, sizeof(sockaddr_storage)));
  int error = 0;
  const InetSocket socket = open_socket(copy_descriptor(caller.tid, *caller.process, fd.value(), error), error);
  if (error != 0 || socket.family != AF_UNIX || !socket.is_datagram() ||
      read_address(GuestMemory(caller.tid), reinterpret_cast<std::uint64_t>(message.header.msg_name), size, bytes) !=
          0 ||
      !unix_path(bytes, path)) {
    return;
  }
  message.error = find_unix_target(shared, caller, path, message.target);
  message.changed = message.error == 0;
}

SentMessage read_message(Shared& shared, const Caller& caller, GuestFd fd, std::uint64_t address) {
  const GuestMemory memory(caller.tid);
  SentMessage message;
  if (memory.read(address, &message.header, sizeof message.header) != 0) {
    return message;  // for the kernel to refuse
  }
  find_target(shared, caller, fd, message);
  if (message.header.msg_control == nullptr || message.header.msg_controllen > kMostControl) {
    return message;
  }
  message.control.resize(message.header.msg_controllen);
  if (message.control.empty() || memory.read(reinterpret_cast<std::uint64_t>(message.header.msg_control),
                                             message.control.data(), message.control.size()) != 0) {
    message.control.clear();
    return message;
  }
  for_credentials(message.control, [&](std::size_t at) {
    pid_t shown = 0;
    std::memcpy(&shown, message.control.data() + at, sizeof shown);
    if (shown != 0) {
      const HostPid host = shared.pids.to_host(VirtualPid(shown));
      const pid_t named = host == HostPid() ? INT_MAX : host.value();  // nobody's
      std::memcpy(message.control.data() + at, &named, sizeof named);
    }
    message.changed = true;
  });
  return message;
}

// As it lies in the agent's slots: the header, the control data, the address.
std::vector<std::byte> packed(SentMessage& message, std::uint64_t place) {
  std::uint64_t at = place + sizeof message.header;
  if (!message.control.empty()) {
    message.header.msg_control = reinterpret_cast<void*>(at);  // NOLINT: the program's address
  }
  at += message.control.size();
  if (message.target.size != 0) {
    message.header.msg_name = reinterpret_cast<void*>(at);  // NOLINT: likewise
    message.header.msg_namelen = message.target.size;
  }
  std::vector<std::byte> bytes(message.size());
  std::memcpy(bytes.data(), &message.header, sizeof message.header);
  std::memcpy(bytes.data() + sizeof message.header, message.control.data(), message.control.size());
  std::memcpy(bytes.data() + sizeof message.header + message.control.size(), &message.target.address,
              message.target.size);
  return bytes;
}

struct SendOne : CallInProgress {
  UnixTarget target;
  void at_exit(ExitCall& /*call*/) override {}
};

// Trapped in every process, as it can name where it goes. Whoever may go there is asked by the event thread.
BEAM_SYSCALL_WHEN(sendmsg, Strategy::kAnswer, (TrapWhen{{is(2, MSG_FASTOPEN, MSG_FASTOPEN)}}), GuestFd,
                  RemotePtr<msghdr>, int) {
  return Answer::escalate();
}
BEAM_SYSCALL_WHEN(sendmmsg, Strategy::kAnswer, (TrapWhen{{is(3, MSG_FASTOPEN, MSG_FASTOPEN)}}), GuestFd,
                  RemotePtr<mmsghdr>, unsigned, int) {
  return Answer::escalate();
}

BEAM_ESCALATED(sendmsg, GuestFd fd, RemotePtr<msghdr> address, int flags) {
  if (opens_fast(call, fd, flags)) {
    return Rewrite::error(EOPNOTSUPP);
  }
  if (auto named = send_named(call, fd, address.address(), flags)) {
    return std::move(*named);
  }
  SentMessage message = read_message(call.shared(), caller_of(call), fd, address.address());
  if (message.error != 0) {
    return Rewrite::error(message.error);
  }
  if (!message.changed) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<SendOne>();
  const std::uint64_t place = call.put(*progress, packed(message, 0).data(), message.size());
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  const auto bytes = packed(message, place);
  if (call.memory().write_forced(place, bytes.data(), bytes.size()) != 0) {
    call.tracer().release_slots(call.task(), progress->slots);
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 1, place);
  progress->target = std::move(message.target);
  return Rewrite::until_exit(std::move(progress));
}

// sendmmsg(2) writes into its array how much of each message went out, so the array can't be a copy in the agent's
// pages, which the program, and so the kernel for it, can't write. The first message goes out as a sendmsg(2), which
// may block; the others follow at its exit, and the first that would have to wait ends the call early, as the man page
// allows.
struct SendMany : CallInProgress {
  GuestFd fd;
  std::uint64_t array = 0;
  unsigned count = 0;
  std::uint64_t flags = 0;
  std::uint64_t place = 0;
  std::size_t room = 0;
  UnixTarget target;  // of the first

  void at_restart(ExitCall& call) override { put_number_back(call); }
  void at_exit(ExitCall& call) override {
    put_number_back(call);
    if (call.result() < 0) {
      return;
    }
    unsigned sent = 0;
    for (std::int64_t result = call.result(); result >= 0;) {
      const auto length = static_cast<unsigned>(result);
      if (call.memory().write(array + sent * sizeof(mmsghdr) + offsetof(mmsghdr, msg_len), &length, sizeof length) !=
          0) {
        break;
      }
      if (++sent == count) {
        break;
      }
      result = send_next(call, sent);
    }
    call.set_result(sent == 0 ? -EFAULT : static_cast<std::int64_t>(sent));
  }

 private:
  static void put_number_back(ExitCall& call) {
    if (user_regs_struct* regs = call.tracee().regs()) {
      regs->orig_rax = SYS_sendmmsg;
      call.tracee().set_regs_changed();
    }
  }
  std::int64_t send_next(ExitCall& call, unsigned index) {
    const std::uint64_t original = array + index * sizeof(mmsghdr);
    const Task& task = call.task();
    const Caller caller{task.tid, task.vtid, task.process};
    SentMessage message = read_message(call.shared(), caller, fd, original);
    if (message.error != 0) {
      return -message.error;
    }
    std::uint64_t from = original;
    if (message.changed) {
      const auto bytes = packed(message, place);
      // The slots of this call are still nobody else's: the event thread is here.
      if (bytes.size() > room || call.memory().write_forced(place, bytes.data(), bytes.size()) != 0) {
        return -ENOMEM;
      }
      from = place;
    }
    const auto result = call.tracee().inject(
        BEAM_AGENT_GADGET, SYS_sendmsg, {static_cast<std::uint64_t>(fd.value()), from, flags | MSG_DONTWAIT, 0, 0, 0});
    return result.ok() ? *result : -ESRCH;
  }
};

BEAM_ESCALATED(sendmmsg, GuestFd fd, RemotePtr<mmsghdr> messages, unsigned count, int flags) {
  if (opens_fast(call, fd, flags)) {
    return Rewrite::error(EOPNOTSUPP);
  }
  if (auto named = send_many_named(call, fd, messages.address(), count, flags)) {
    return std::move(*named);
  }
  count = std::min<unsigned>(count, kMostMessages);
  std::vector<std::byte> first;
  std::size_t room = 0;
  unsigned plain = 0;  // messages without credentials that come before the first with them
  for (unsigned i = 0; i < count; ++i) {
    const SentMessage message =
        read_message(call.shared(), caller_of(call), fd, messages.address() + i * sizeof(mmsghdr));
    if (message.error != 0 && i == 0) {
      return Rewrite::error(message.error);
    }
    if (message.error != 0) {
      count = i;
      break;
    }
    if (message.changed) {
      room = std::max(room, message.size());
    } else if (room == 0) {
      ++plain;
    }
  }
  if (room == 0) {
    return Rewrite::pass();
  }
  if (plain != 0) {
    // These the kernel sends as they are; the program comes back with the rest.
    auto progress = std::make_unique<SendOne>();
    call.set_arg(*progress, 2, plain);
    return Rewrite::until_exit(std::move(progress));
  }
  auto progress = std::make_unique<SendMany>();
  SentMessage message = read_message(call.shared(), caller_of(call), fd, messages.address());
  std::vector<std::byte> bytes = packed(message, 0);
  bytes.resize(room);
  progress->place = call.put(*progress, bytes.data(), bytes.size());
  user_regs_struct* regs = call.tracee().regs();
  if (progress->place == 0 || regs == nullptr) {
    return Rewrite::error(ENOMEM);
  }
  bytes = packed(message, progress->place);
  if (call.memory().write_forced(progress->place, bytes.data(), bytes.size()) != 0) {
    call.tracer().release_slots(call.task(), progress->slots);
    return Rewrite::error(ENOMEM);
  }
  progress->target = std::move(message.target);
  progress->fd = fd;
  progress->array = messages.address();
  progress->count = count;
  progress->flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags));
  progress->room = room;
  regs->orig_rax = SYS_sendmsg;
  call.set_arg(*progress, 1, progress->place);
  call.set_arg(*progress, 2, progress->flags);
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
