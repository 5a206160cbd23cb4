// A connection between two workstations of a cluster: whole messages over TLS 1.3, ssl(7), both sides authenticated by
// the cluster's authority.
//
// Owns: the socket, what was read but not yet taken, what was queued but not yet sent. One thread at a time uses it. As
// a Channel it can be waited for by its descriptor and never blocks in fill() and flush(); flush_all() and receive()
// wait, for as long as `patience` says. What breaks the protocol ends the connection with an error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/cluster.h"
#include "runtime/frame.h"

struct ssl_st;
struct ssl_ctx_st;

namespace beam::runtime {

class Link {
 public:
  // Of waiting for the other side, in milliseconds; -1: for ever.
  static constexpr int kPatience = 20'000;

  // The daemon of `peer`. Its certificate has to be that workstation's own.
  static Result<Link> connect(const Cluster& cluster, const Workstation& peer, int patience_ms = kPatience);
  // The other side of an accepted TCP connection.
  static Result<Link> accept(const Cluster& cluster, UniqueFd socket, int patience_ms = kPatience);
  Link(Link&&) noexcept;
  Link& operator=(Link&&) noexcept;
  ~Link();

  // The workstation at the other end, as its certificate says.
  [[nodiscard]] const std::string& peer() const { return peer_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  void set_patience(int milliseconds) { patience_ms_ = milliseconds; }
  [[nodiscard]] std::size_t queued() const { return out_.size() - sent_; }

  template <typename Message>
  Result<> send(const Message& message) {
    return send_frame(Message::kType, encode(message));
  }
  // Of whatever message; a frame's descriptors stay here.
  Result<> send_frame(MessageType type, std::string_view payload);
  Result<> flush();
  Result<> flush_all();

  // Reads what is there, without waiting. False at the end of the stream.
  Result<bool> fill();
  // There is more already, whatever poll(2) says of the descriptor.
  [[nodiscard]] bool has_more() const { return more_; }
  Result<std::optional<Frame>> next();
  // EPIPE at the end of the stream, ETIMEDOUT when patience has run out.
  Result<Frame> receive();
  // Its reply to `request`; what the other side refuses comes back as its error.
  template <typename Reply, typename Request>
  Result<Reply> ask(const Request& request) {
    BEAM_TRY(send(request));
    return answer<Reply>();
  }
  template <typename Reply>
  Result<Reply> answer() {
    BEAM_TRY(flush_all());
    BEAM_TRY_ASSIGN(const Frame frame, receive());
    if (frame.type == MessageType::kFailed) {
      BEAM_TRY_ASSIGN(const auto failure, frame.as<Failed>());
      return Error(failure.code == ENOENT ? ENOENT : 0, failure.message);  // the text has the reason already
    }
    return frame.as<Reply>();
  }

 private:
  struct Free {
    void operator()(ssl_st* session) const;
    void operator()(ssl_ctx_st* context) const;
  };
  Link(UniqueFd socket, int patience_ms);
  Result<> handshake(const Cluster& cluster, bool server);
  // What an operation that returned `result` waits for: waits for it, or returns the error.
  Result<bool> wait_after(int result, const char* what, bool may_wait);
  [[nodiscard]] Error fault(const char* what) const;

  UniqueFd socket_;
  std::string peer_ = "the peer";
  int patience_ms_;
  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::unique_ptr<ssl_st, Free> session_;
  bool ended_ = false;
  bool more_ = true;  // what came with the last of the handshake is in the library already
  std::string in_;
  std::size_t taken_ = 0;
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace beam::runtime
