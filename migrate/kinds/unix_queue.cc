// Messages that wait in UNIX sockets: looked at without being taken, and sent again.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "migrate/kinds/unix_socket.h"
#include "migrate/stand_in.h"

namespace beam::migrate {
namespace {

constexpr int kSoPassPidfd = 76;               // asm-generic/socket.h
constexpr std::size_t kMostDescriptors = 253;  // SCM_MAX_FD

// Options as looking needs them, and then as they were.
class OptionsForPeeking {
 public:
  explicit OptionsForPeeking(int fd) : fd_(fd) {
    set(SO_PASSCRED, 1);
    set(SO_PASSSEC, 0);
    set(kSoPassPidfd, 0);
    set(SO_PEEK_OFF, 0);
  }
  ~OptionsForPeeking() {
    for (const auto& [option, value] : before_) {
      ::setsockopt(fd_, SOL_SOCKET, option, &value, sizeof value);
    }
  }
  OptionsForPeeking(const OptionsForPeeking&) = delete;
  OptionsForPeeking& operator=(const OptionsForPeeking&) = delete;

 private:
  void set(int option, int value) {
    int before = 0;
    socklen_t size = sizeof before;
    if (::getsockopt(fd_, SOL_SOCKET, option, &before, &size) == 0) {
      before_.emplace_back(option, before);
      ::setsockopt(fd_, SOL_SOCKET, option, &value, sizeof value);
    }
  }
  int fd_;
  std::vector<std::pair<int, int>> before_;
};

struct Peeked {
  ssize_t size = 0;
  bool control = false;
  UnixMessage message;
  std::vector<UniqueFd> descriptors;
};

Result<Peeked> peek(const interpose::Shared& shared, int fd, std::vector<std::uint8_t>& buffer, std::size_t room) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int)) + CMSG_SPACE(sizeof(ucred)) + 64];
  sockaddr_un source{};
  iovec part{buffer.data(), room};
  msghdr header{};
  header.msg_name = &source;
  header.msg_namelen = sizeof source;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  Peeked peeked;
  peeked.size = ::recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (peeked.size < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return peeked;
    }
    return Error::from_errno("look at what a UNIX socket holds");
  }
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
    if (at->cmsg_level != SOL_SOCKET) {
      continue;
    }
    const std::size_t size = at->cmsg_len - CMSG_LEN(0);
    if (at->cmsg_type == SCM_RIGHTS) {
      std::vector<int> fds(size / sizeof(int));
      std::memcpy(fds.data(), CMSG_DATA(at), fds.size() * sizeof(int));
      for (const int one : fds) {
        peeked.descriptors.emplace_back(one);
      }
    } else if (at->cmsg_type == SCM_CREDENTIALS && size >= sizeof(ucred)) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(at), sizeof sender);
      peeked.control = true;
      // Without any attached, the kernel shows no pid and an overflow id (net/core/scm.c).
      if (sender.pid != 0) {
        peeked.message.sender = {shared.pids.to_virtual(HostPid(sender.pid)).value(), sender.uid, sender.gid};
      }
    }
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Error(EMSGSIZE, "look at what a UNIX socket holds")
        .remedy("raise the hard limit of open files (ulimit -Hn)");
  }
  peeked.message.bytes.assign(buffer.begin(), buffer.begin() + peeked.size);
  if (header.msg_namelen > offsetof(sockaddr_un, sun_path)) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&source);
    peeked.message.source =
        shown_unix_address(shared, {bytes, bytes + std::min<std::size_t>(header.msg_namelen, sizeof source)});
  }
  return peeked;
}

// Of a run of a stream that ends with what descriptors came with: how many bytes come before that. The kernel shows the
// descriptors already to a look at the first byte of the run; but what can't be copied whole it leaves out, together
// with what follows (net/unix/af_unix.c, unix_stream_read_generic). So the last byte gets no place.
Result<std::size_t> bytes_before_descriptors(int fd, std::size_t run, std::size_t size) {
  const auto move_to = [fd](std::size_t offset) {
    const int value = static_cast<int>(offset);
    return ::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &value, sizeof value) == 0;
  };
  constexpr std::size_t kPage = 4096;
  const std::size_t room = (size - 1 + kPage - 1) / kPage * kPage;
  void* area = ::mmap(nullptr, room + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED || ::mprotect(static_cast<char*>(area) + room, kPage, PROT_NONE) != 0 || !move_to(run)) {
    return Error::from_errno("look at what a UNIX socket holds");
  }
  const ssize_t before = ::recv(fd, static_cast<char*>(area) + room - (size - 1), size, MSG_PEEK | MSG_DONTWAIT);
  ::munmap(area, room + kPage);
  move_to(run + size);
  return before < 0 ? 0 : static_cast<std::size_t>(before);
}

}  // namespace

Result<std::vector<UnixMessage>> peek_unix_messages(CollectContext& context, const OpenFile& file, int type,
                                                    bool error) {
  std::vector<UnixMessage> messages;
  const int fd = file.copy.get();
  int waiting = 0;
  ::ioctl(fd, FIONREAD, &waiting);
  if (type == SOCK_STREAM) {
    if (waiting == 0) {
      return messages;
    }
    char byte = 0;
    if (::recv(fd, &byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) > 0) {
      return Error(kObstacle, "an urgent byte (MSG_OOB) of a UNIX socket can't be frozen");
    }
  }
  // A look marks what it has seen, by which an empty datagram escapes the next; so it is taken only for what `check`
  // needs.
  if (!context.contents() && (error || info_value(file.fdinfo, "scm_fds") == "0")) {
    return messages;
  }
  if (error && type != SOCK_STREAM) {
    // It would come before every message; asked for, it is told only once. The thaw makes it again.
    (void)socket_option(fd, SOL_SOCKET, SO_ERROR);
  }
  const OptionsForPeeking options(fd);
  constexpr std::size_t kLongestDatagram = 8U << 20;  // far above any net.core.wmem_max
  std::vector<std::uint8_t> buffer(type == SOCK_STREAM ? static_cast<std::size_t>(waiting) : kLongestDatagram);
  for (std::size_t seen = 0; type != SOCK_STREAM || seen < static_cast<std::size_t>(waiting);) {
    const std::size_t room = type == SOCK_STREAM ? buffer.size() - seen : buffer.size();
    BEAM_TRY_ASSIGN(Peeked peeked, peek(context.shared, fd, buffer, room));
    if (peeked.size < 0 || (peeked.size == 0 && !peeked.control)) {
      break;  // no more, or the end of what the other side sent
    }
    if (type == SOCK_STREAM && !peeked.descriptors.empty()) {
      // The run may begin with bytes that came before the descriptors, which go with the first byte of theirs.
      BEAM_TRY_ASSIGN(const std::size_t before,
                      bytes_before_descriptors(fd, seen, static_cast<std::size_t>(peeked.size)));
      if (before > 0) {
        UnixMessage plain;
        plain.sender = peeked.message.sender;
        plain.bytes.assign(peeked.message.bytes.begin(),
                           peeked.message.bytes.begin() + static_cast<std::ptrdiff_t>(before));
        peeked.message.bytes.erase(peeked.message.bytes.begin(),
                                   peeked.message.bytes.begin() + static_cast<std::ptrdiff_t>(before));
        messages.push_back(std::move(plain));
      }
    }
    seen += static_cast<std::size_t>(peeked.size);
    for (UniqueFd& descriptor : peeked.descriptors) {
      BEAM_TRY_ASSIGN(const std::uint32_t object, context.object_of(file.vpid, std::move(descriptor)));
      peeked.message.descriptors.push_back(object);
    }
    if (!context.contents()) {
      peeked.message.bytes.clear();
    }
    messages.push_back(std::move(peeked.message));
  }
  return messages;
}

Result<> send_unix_message(LinkContext& context, int writer, const UnixMessage& message,
                           const std::vector<std::uint8_t>* to) {
  std::vector<int> fds;
  for (const std::uint32_t object : message.descriptors) {
    BEAM_TRY_ASSIGN(const int fd, context.object(object));
    fds.push_back(fd);
  }
  if (fds.size() > kMostDescriptors) {
    return Error(kDamaged, "a message with " + std::to_string(fds.size()) + " descriptors");
  }
  const auto send = [&]() -> int {
    alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
    std::size_t used = 0;
    const auto add = [&](int type, const void* data, std::size_t size) {
      auto* at = reinterpret_cast<cmsghdr*>(control + used);
      at->cmsg_level = SOL_SOCKET;
      at->cmsg_type = type;
      at->cmsg_len = CMSG_LEN(size);
      std::memcpy(CMSG_DATA(at), data, size);
      used += CMSG_SPACE(size);
    };
    if (!fds.empty()) {
      add(SCM_RIGHTS, fds.data(), fds.size() * sizeof(int));
    }
    if (message.sender) {
      const ucred sender{::getpid(), message.sender->uid, message.sender->gid};
      add(SCM_CREDENTIALS, &sender, sizeof sender);
    }
    // A stream may take a long run in several pieces; descriptors go with the first.
    std::size_t sent = 0;
    do {
      iovec part{const_cast<std::uint8_t*>(message.bytes.data()) + sent, message.bytes.size() - sent};
      msghdr header{};
      header.msg_iov = &part;
      header.msg_iovlen = 1;
      header.msg_control = used != 0 ? control : nullptr;
      header.msg_controllen = used;
      if (to != nullptr) {
        header.msg_name = const_cast<std::uint8_t*>(to->data());
        header.msg_namelen = static_cast<socklen_t>(to->size());
      }
      const ssize_t now = ::sendmsg(writer, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (now < 0) {
        return errno;
      }
      sent += static_cast<std::size_t>(now);
      if (sent < message.bytes.size() && !fds.empty()) {
        used = 0;
        if (message.sender) {
          const ucred sender{::getpid(), message.sender->uid, message.sender->gid};
          add(SCM_CREDENTIALS, &sender, sizeof sender);
        }
      }
    } while (sent < message.bytes.size());
    return 0;
  };
  const std::string what =
      "send a message of " + std::to_string(message.bytes.size()) + " bytes into a UNIX socket again";
  if (message.sender) {
    return stand_in(&context.shared, VirtualPid(message.sender->pid), what, send);
  }
  const int error = send();
  return error == 0 ? success()
                    : Result<>(Error(error, what).remedy("see net.core.wmem_max and net.unix.max_dgram_qlen"));
}

}  // namespace beam::migrate
