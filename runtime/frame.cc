#include "runtime/frame.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

namespace beam::runtime {
namespace {

constexpr std::uint32_t kMagic = 0x4d414542;  // "BEAM"

struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t type;
  std::uint32_t length;
  std::uint32_t fds;
};

}  // namespace

Result<> wait_for(int fd, short events, int patience_ms, const std::string& whom) {
  struct pollfd entry = {fd, events, 0};
  for (;;) {
    const int ready = ::poll(&entry, 1, patience_ms);
    if (ready > 0) {
      return success();
    }
    if (ready == 0) {
      return Error(ETIMEDOUT, "wait for " + whom);
    }
    if (errno != EINTR) {
      return Error::from_errno("poll the connection to " + whom);
    }
  }
}

Result<> append_frame(std::string& out, MessageType type, std::string_view payload, std::size_t fds) {
  if (payload.size() > kLargestPayload) {
    return Error(E2BIG, "send a message of " + std::to_string(payload.size()) + " bytes");
  }
  const Header header{kMagic, kProtocolVersion, static_cast<std::uint16_t>(type),
                      static_cast<std::uint32_t>(payload.size()), static_cast<std::uint32_t>(fds)};
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
  out += payload;
  return success();
}

Result<std::optional<ReceivedFrame>> first_frame(std::string_view in) {
  Header header{};
  if (in.size() < sizeof header) {
    return std::optional<ReceivedFrame>();
  }
  std::memcpy(&header, in.data(), sizeof header);
  if (header.magic != kMagic) {
    return Error(EPROTO, "receive from the peer: not a Beam message");
  }
  if (header.version != kProtocolVersion) {
    return Error(EPROTO, "the peer speaks protocol version " + std::to_string(header.version) + ", this beam version " +
                             std::to_string(kProtocolVersion))
        .remedy("use the same version of beam on both sides");
  }
  if (header.length > kLargestPayload || header.fds > kMostFds) {
    return Error(EPROTO, "receive from the peer: message too large");
  }
  if (in.size() - sizeof header < header.length) {
    return std::optional<ReceivedFrame>();
  }
  ReceivedFrame received;
  received.frame.type = static_cast<MessageType>(header.type);
  received.frame.payload = in.substr(sizeof header, header.length);
  received.fds = header.fds;
  received.bytes = sizeof header + header.length;
  return std::optional<ReceivedFrame>(std::move(received));
}

}  // namespace beam::runtime
