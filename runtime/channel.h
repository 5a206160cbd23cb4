// One end of a connection between `beam` and a supervisor: whole messages with descriptors over a stream socket,
// unix(7).
//
// Owns: the socket, what was read but not yet taken, what was queued but not yet sent. Holds: a frame that is too
// large, of another protocol version, or comes with other descriptors than it says ends the connection with an error.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/frame.h"
#include "runtime/messages.h"
#include "runtime/wire.h"

namespace beam::runtime {

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  // How long receive() waits for something to arrive; -1: for ever.
  void set_patience(int milliseconds) { patience_ms_ = milliseconds; }

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] std::size_t queued() const { return out_.size() - sent_; }

  // Sends now what the socket takes and queues the rest. `fds` are duplicated by the kernel and stay the caller's.
  template <typename Message>
  Result<> send(const Message& message, const std::vector<int>& fds = {}) {
    return send_frame(Message::kType, encode(message), fds);
  }
  // Of whatever message, without descriptors.
  Result<> send_frame(MessageType type, std::string_view payload) { return send_frame(type, payload, {}); }
  // Sends what is queued, as far as the socket takes it.
  Result<> flush();
  // The same, but waits until all is sent.
  Result<> flush_all();

  // Reads what is there, without waiting. False at the end of the stream.
  Result<bool> fill();
  // The next whole message among what was read.
  Result<std::optional<Frame>> next();
  // Waits for the next message. EPIPE at the end of the stream, ETIMEDOUT when patience has run out.
  Result<Frame> receive();

 private:
  Result<> send_frame(MessageType type, std::string_view payload, const std::vector<int>& fds);
  Result<> transmit(int flags);

  struct PendingFds {
    std::size_t offset;  // in out_: they go with the byte that stands there
    std::vector<UniqueFd> fds;
  };

  UniqueFd socket_;
  int patience_ms_ = -1;
  std::string in_;
  std::size_t taken_ = 0;
  std::deque<UniqueFd> in_fds_;
  std::string out_;
  std::size_t sent_ = 0;
  std::deque<PendingFds> out_fds_;
};

// Both ends of a new connection, close-on-exec.
Result<std::pair<UniqueFd, UniqueFd>> make_socket_pair();

}  // namespace beam::runtime
