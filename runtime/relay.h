// One end of what follows a sandbox over a link: the messages of a client's session, and streams.
//
// Both workstations have one. Where the client is, a stream's descriptor is the client's own; where the sandbox is, it
// is the other end of the sandbox's pipe. Owns: link and descriptors. Holds: of each stream at most kWindow bytes are
// on the way; bytes arrive in order, and before the end that follows them. Lives on the loop's thread.
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "runtime/link.h"

namespace beam::runtime {

class Relay : public std::enable_shared_from_this<Relay> {
 public:
  struct Handlers {
    std::function<void(Frame)> on_frame;          // of the session
    std::function<void(const Error&)> on_lost;    // the link has ended; nothing comes after
    std::function<void()> on_stream_end = [] {};  // idle() may be true now
  };
  Relay(asio::io_context& io, Link link, Handlers handlers);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // What is read from `fd` goes to the other side.
  void add_source(std::size_t stream, UniqueFd fd);
  // What comes from the other side is written to `fd`.
  void add_sink(std::size_t stream, UniqueFd fd);
  void start();

  template <typename Message>
  void send(const Message& message) {
    send_frame(Message::kType, encode(message));
  }
  void send_frame(MessageType type, std::string_view payload);
  [[nodiscard]] bool congested() const { return link_.queued() > kWindow; }
  // Every source has ended and been taken, every sink written.
  [[nodiscard]] bool idle() const;
  // Waits until what was sent has gone out, for as long as the link's patience lasts.
  void flush_all();
  void close();
  // After that: what a source still reads from; none: it has ended.
  UniqueFd take_source(std::size_t stream);

 private:
  static constexpr std::size_t kWindow = 256U << 10U;

  struct Stream {
    std::size_t number = 0;
    bool source = false;
    UniqueFd fd;                                             // none: ended
    std::unique_ptr<asio::posix::stream_descriptor> waiter;  // none: it needs no waiting (a regular file)
    std::size_t on_the_way = 0;
    std::string pending;  // of a sink
    bool ends = false;    // once `pending` is written
    bool waiting = false;
  };

  Stream* add(std::size_t stream, UniqueFd fd, bool source);
  void wait_link();
  void wait_link_writable();
  void read_link();
  void handle(Frame frame);
  void run(Stream& stream);
  void read_source(Stream& stream);
  void write_sink(Stream& stream);
  void end(Stream& stream);
  void lost(const Error& error);

  asio::io_context& io_;
  Link link_;
  asio::posix::stream_descriptor socket_;  // the link's descriptor, for waiting only
  Handlers handlers_;
  std::array<std::optional<Stream>, 3> streams_;
  bool reading_ = false;
  bool writing_ = false;
  bool closed_ = false;
};

}  // namespace beam::runtime
