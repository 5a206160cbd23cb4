// Messages as bytes of a stream: a header of fixed size, then the payload. Channel and Link share it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/messages.h"
#include "runtime/wire.h"

namespace beam::runtime {

// A command line with its environment fits: execve(2) takes at most 6 MiB of both.
inline constexpr std::size_t kLargestPayload = 8U << 20U;
inline constexpr std::size_t kMostFds = 8;

struct Frame {
  MessageType type{};
  std::string payload;
  std::vector<UniqueFd> fds;

  template <typename Message>
  [[nodiscard]] Result<Message> as() const {
    if (type != Message::kType) {
      return Error(EPROTO, "unexpected message " + std::to_string(static_cast<int>(type)));
    }
    return decode<Message>(payload);
  }
};

struct ReceivedFrame {
  Frame frame;            // without its descriptors
  std::size_t fds = 0;    // that belong to it
  std::size_t bytes = 0;  // that it took of the input
};

// Until poll(2) tells of `events`; -1: for as long as it takes. ETIMEDOUT when patience has run out.
Result<> wait_for(int fd, short events, int patience_ms, const std::string& whom);

// Appends a frame to `out`. E2BIG when the payload is too large.
Result<> append_frame(std::string& out, MessageType type, std::string_view payload, std::size_t fds);
// The frame at the start of `in`; nothing when it isn't whole yet. EPROTO for what is no frame of this protocol
// version.
Result<std::optional<ReceivedFrame>> first_frame(std::string_view in);

}  // namespace beam::runtime
