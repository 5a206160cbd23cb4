// One client of a supervisor: reads its requests, queues what it is to hear.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <string_view>

#include "base/ids.h"
#include "runtime/channel.h"
#include "runtime/console.h"

namespace beam::runtime {

class Supervisor;

class Session : public ConsoleSink, public std::enable_shared_from_this<Session> {
 public:
  Session(asio::io_context& io, Supervisor& supervisor, UniqueFd socket);
  ~Session() override;

  // Begins to listen to the client.
  void start();

  template <typename Message>
  void send(const Message& message) {
    after_send(channel_.send(message));
  }
  // The last message; the connection ends once it has been taken.
  template <typename Message>
  void send_last(const Message& message) {
    send(message);
    closing_ = true;
    close_if_done();
  }

  void send_frame(MessageType type, std::string_view payload) { after_send(channel_.send_frame(type, payload)); }
  // Before start(): waits for the client's next message.
  Result<Frame> receive() { return channel_.receive(); }

  // What this client is about: the process that it started or attached to, and that one's terminal.
  void follow(VirtualPid root, std::shared_ptr<Console> console, bool replay);
  [[nodiscard]] VirtualPid followed() const { return followed_; }
  // It hears of the end of the sandbox.
  [[nodiscard]] bool waits_for_end() const { return waits_for_end_; }
  void wait_for_end() { waits_for_end_ = true; }

  // The process was stopped: the client stops as well.
  void tell_stopped(int signal);
  // The process goes on. A client that stopped with it, and doesn't know, is continued.
  void tell_continued();
  // The client goes on by itself.
  void resumed();

  void console_output(std::string_view bytes) override;
  [[nodiscard]] bool congested() const override { return holds_output_ || channel_.queued() > kQueueLimit; }
  // Until release_output() nothing of the terminal is read: a client that has not heard yet that the process runs has
  // its own terminal still as it was, and would echo what is typed at the first prompt.
  void hold_output() { holds_output_ = true; }
  void release_output();

  // Takes no notice of the client any more.
  void close();

 private:
  static constexpr std::size_t kQueueLimit = 256U << 10U;

  void wait_readable();
  void wait_writable();
  void read();
  void handle(Frame frame);
  Result<> dispatch(Frame& frame);
  void after_send(const Result<>& result);
  void close_if_done();

  Supervisor& supervisor_;
  Channel channel_;
  asio::posix::stream_descriptor socket_;  // the channel's descriptor, for waiting only
  std::shared_ptr<Console> console_;
  VirtualPid followed_;
  bool waits_for_end_ = false;
  bool holds_output_ = false;
  bool client_stops_ = false;
  asio::steady_timer continue_again_;
  bool reading_ = false;
  bool writing_ = false;
  bool closing_ = false;
  bool closed_ = false;
};

}  // namespace beam::runtime
