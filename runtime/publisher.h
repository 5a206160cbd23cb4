// Makes ports of a sandbox reachable from outside its group: listens at the workstation's addresses, and passes on
// between those who come there and whoever is bound to the port in the sandbox at that moment.
//
// Owns: the sockets of both sides, and the thread that serves them. Holds: nothing of it is in the sandbox, and a peer
// that is slow or stuck holds up nobody but its own connection.
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "ns/network_space.h"
#include "runtime/datagram_forwarder.h"
#include "runtime/published_port.h"

namespace beam::runtime {

class StreamForwarder;

class Publisher {
 public:
  // All of them, or an error that names the one that can't be had.
  static Result<std::unique_ptr<Publisher>> start(std::shared_ptr<ns::NetworkSpace> network,
                                                  std::vector<PublishedPort> ports,
                                                  const DatagramPatience& patience = {});
  // Ends every connection.
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // Lets go of the workstation's ports, and of all connections, for somebody else to have them; and takes them back.
  void suspend();
  Result<> resume();

 private:
  Publisher(std::shared_ptr<ns::NetworkSpace> network, std::vector<PublishedPort> ports,
            const DatagramPatience& patience);
  Result<> listen();
  Result<> listen(const PublishedPort& port);
  Result<> listen(const PublishedPort& port, const ns::IpAddress& address);

  const std::shared_ptr<ns::NetworkSpace> network_;
  const std::vector<PublishedPort> ports_;
  const DatagramPatience patience_;
  std::unique_ptr<asio::io_context> io_;  // of one run of the thread
  std::vector<std::shared_ptr<StreamForwarder>> streams_;
  std::vector<std::shared_ptr<DatagramForwarder>> datagrams_;
  std::thread thread_;
};

}  // namespace beam::runtime
