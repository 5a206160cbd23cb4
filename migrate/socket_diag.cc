#include "migrate/socket_diag.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace beam::migrate {
namespace {

void read_attribute(UnixDiag& socket, int type, const unsigned char* data, std::size_t size) {
  std::uint32_t word = 0;
  if (size >= sizeof word) {
    std::memcpy(&word, data, sizeof word);
  }
  switch (type) {
    case UNIX_DIAG_PEER:
      socket.peer = word;
      break;
    case UNIX_DIAG_ICONS:
      for (std::size_t at = 0; at + sizeof word <= size; at += sizeof word) {
        std::memcpy(&word, data + at, sizeof word);
        socket.pending.push_back(word);
      }
      break;
    case UNIX_DIAG_VFS:
      socket.file = word;  // udiag_vfs_ino comes first
      break;
    case UNIX_DIAG_RQLEN:
      if (socket.state == TCP_LISTEN && size >= sizeof(unix_diag_rqlen)) {
        unix_diag_rqlen lengths{};
        std::memcpy(&lengths, data, sizeof lengths);
        socket.backlog = lengths.udiag_wqueue;
      }
      break;
    case UNIX_DIAG_SHUTDOWN:
      socket.shutdown = size >= 1 ? data[0] : 0;
      break;
    default:
      break;
  }
}

}  // namespace

Result<std::map<std::uint64_t, UnixDiag>> unix_diag() {
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) {
    return Error::from_errno("ask the kernel for sockets").remedy("Linux with CONFIG_UNIX_DIAG is needed");
  }
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.request.sdiag_family = AF_UNIX;
  message.request.udiag_states = ~0U;
  message.request.udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;
  if (::send(fd.get(), &message, sizeof message, 0) != sizeof message) {
    return Error::from_errno("ask the kernel for UNIX sockets");
  }
  std::map<std::uint64_t, UnixDiag> found;
  std::vector<unsigned char> buffer(1U << 18);
  for (;;) {
    const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return Error::from_errno("read about UNIX sockets");
    }
    auto left = static_cast<std::size_t>(got);
    for (const unsigned char* at = buffer.data(); left >= sizeof(nlmsghdr);) {
      nlmsghdr header{};
      std::memcpy(&header, at, sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > left) {
        return Error(EPROTO, "read about UNIX sockets");
      }
      if (header.nlmsg_type == NLMSG_DONE) {
        return found;
      }
      if (header.nlmsg_type == NLMSG_ERROR) {
        int code = 0;
        std::memcpy(&code, at + NLMSG_HDRLEN, sizeof code);
        return Error(-code, "ask the kernel for UNIX sockets").remedy("Linux with CONFIG_UNIX_DIAG is needed");
      }
      unix_diag_msg head{};
      if (header.nlmsg_len >= NLMSG_HDRLEN + sizeof head) {
        std::memcpy(&head, at + NLMSG_HDRLEN, sizeof head);
        UnixDiag& socket = found[head.udiag_ino];
        socket.type = head.udiag_type;
        socket.state = head.udiag_state;
        for (std::size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof head);
             offset + sizeof(nlattr) <= header.nlmsg_len;) {
          nlattr attribute{};
          std::memcpy(&attribute, at + offset, sizeof attribute);
          if (attribute.nla_len < NLA_HDRLEN || offset + attribute.nla_len > header.nlmsg_len) {
            break;
          }
          read_attribute(socket, attribute.nla_type & NLA_TYPE_MASK, at + offset + NLA_HDRLEN,
                         static_cast<std::size_t>(attribute.nla_len) - NLA_HDRLEN);
          offset += NLA_ALIGN(attribute.nla_len);
        }
      }
      const std::size_t whole = NLMSG_ALIGN(header.nlmsg_len);
      at += whole;
      left -= std::min(left, whole);
    }
  }
}

}  // namespace beam::migrate
