// The datagrams of one published port. Who sends there gets a flow: a socket of its own towards the sandbox, so that
// the answers of whoever is bound to the port find back to him.
//
// Owns: the socket outside and those of the flows. Holds: a flow that nothing comes through is forgotten after a while,
// and the one that has been quiet for the longest time makes room for a new one; what an end has no room for is lost,
// as datagrams are. Lives on the loop's thread.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "ns/network_space.h"
#include "runtime/published_port.h"

namespace beam::runtime {

// As the kernel's own translation of addresses has it (nf_conntrack_udp_timeout and its like).
struct DatagramPatience {
  std::chrono::milliseconds unanswered{30'000};
  std::chrono::milliseconds answered{120'000};
  std::size_t most_flows = 4096;
};

class DatagramForwarder : public std::enable_shared_from_this<DatagramForwarder> {
 public:
  // `socket` is bound, and does not block.
  DatagramForwarder(asio::io_context& io, std::shared_ptr<ns::NetworkSpace> network, const PublishedPort& port,
                    UniqueFd socket, const DatagramPatience& patience);
  void start();
  void close();

 private:
  struct Client {
    ns::HostEndpoint from;
    ns::IpAddress to;        // of the workstation's addresses: answers come from there
    unsigned interface = 0;  // of an address that is valid on one link only
    auto operator<=>(const Client&) const = default;
  };
  struct Flow {
    Flow(asio::io_context& io, UniqueFd fd) : inside(io, fd.release()) {}
    asio::posix::stream_descriptor inside;
    ns::HostEndpoint own;
    bool answered = false;
    std::chrono::steady_clock::time_point used;
    std::list<Client>::iterator place;  // in by_use_
  };

  void wait();
  void receive();
  void pass_in(const Client& client, std::size_t size);
  Flow* find_flow(const Client& client);
  bool connect(Flow& flow);
  void wait_for_answer(const Client& client, const std::shared_ptr<Flow>& flow);
  void pass_out(const Client& client, std::size_t size);
  void touch(Flow& flow);
  void expire();
  void forget(const Client& client);

  asio::io_context& io_;
  const std::shared_ptr<ns::NetworkSpace> network_;
  const PublishedPort port_;
  const DatagramPatience patience_;
  asio::posix::stream_descriptor outside_;
  int family_ = 0;
  asio::steady_timer timer_;
  std::vector<char> buffer_;
  std::map<Client, std::shared_ptr<Flow>> flows_;
  std::list<Client> by_use_;  // the longest quiet one first
  bool closed_ = false;
};

}  // namespace beam::runtime
