// The connections of one published port: each is accepted outside, made once more into the sandbox, and passed on, both
// ways, to its end.
//
// Owns: the listening socket; a connection lives as long as one of its directions waits for something. Holds: what has
// been read from one end and not yet written to the other is never more than one buffer, so that a slow reader slows
// its own writer; the end of one direction leaves the other one open; a reset is passed on as one. Lives on the loop's
// thread.
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "ns/network_space.h"
#include "runtime/published_port.h"

namespace beam::runtime {

class StreamForwarder : public std::enable_shared_from_this<StreamForwarder> {
 public:
  // `listener` is listening, and does not block.
  StreamForwarder(asio::io_context& io, std::shared_ptr<ns::NetworkSpace> network, const PublishedPort& port,
                  UniqueFd listener);
  void start();
  // Accepts nothing more, and waits for nothing.
  void close();

 private:
  class Connection;
  void wait();
  void accept();
  void connect(UniqueFd outside);
  void ended();

  asio::io_context& io_;
  const std::shared_ptr<ns::NetworkSpace> network_;
  const PublishedPort port_;
  asio::posix::stream_descriptor listener_;
  asio::steady_timer later_;
  std::vector<char> buffer_;  // of whichever connection is at work
  std::size_t connections_ = 0;
  std::size_t most_;
  bool waiting_ = false;
  bool closed_ = false;
};

// Where somebody in the sandbox is bound to the published port; nothing when nobody is. `from`: an end that is to send
// there, for datagrams.
[[nodiscard]] std::optional<ns::HostEndpoint> find_published(const ns::NetworkSpace& network, const PublishedPort& port,
                                                             const ns::HostEndpoint& from = {
                                                                 ns::IpAddress::v4(INADDR_ANY), 0});

}  // namespace beam::runtime
