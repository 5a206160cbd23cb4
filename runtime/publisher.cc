#include "runtime/publisher.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/log.h"
#include "runtime/datagram_forwarder.h"
#include "runtime/stream_forwarder.h"

namespace beam::runtime {
namespace {

std::string name_of(const PublishedPort& port, const ns::IpAddress& address) {
  return "port " + ns::HostEndpoint{address, port.port}.text() + (port.protocol == IPPROTO_UDP ? "/udp" : "");
}

Error refused(const PublishedPort& port, const ns::IpAddress& address, int code) {
  Error error(code, name_of(port, address) + ": cannot be published");
  switch (code) {
    case EADDRINUSE:
      return std::move(error).remedy("end who has it, or publish another");
    case EACCES:
      return std::move(error).remedy(
          "ports below net.ipv4.ip_unprivileged_port_start need a privilege; publish a higher one");
    case EADDRNOTAVAIL:
      return std::move(error).remedy("use an address of this workstation");
    default:
      return error;
  }
}

// Each connection takes two descriptors of this process, and must leave some for what else it does.
void raise_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

}  // namespace

Publisher::Publisher(std::shared_ptr<ns::NetworkSpace> network, std::vector<PublishedPort> ports,
                     const DatagramPatience& patience)
    : network_(std::move(network)), ports_(std::move(ports)), patience_(patience) {}

Result<std::unique_ptr<Publisher>> Publisher::start(std::shared_ptr<ns::NetworkSpace> network,
                                                    std::vector<PublishedPort> ports,
                                                    const DatagramPatience& patience) {
  raise_limit();
  auto publisher = std::unique_ptr<Publisher>(new Publisher(std::move(network), std::move(ports), patience));
  BEAM_TRY(publisher->resume());
  return publisher;
}

Publisher::~Publisher() {
  suspend();
}

Result<> Publisher::resume() {
  if (io_) {
    return success();
  }
  io_ = std::make_unique<asio::io_context>(1);
  if (auto listening = listen(); !listening.ok()) {
    suspend();
    return listening;
  }
  thread_ = std::thread([io = io_.get()] {
    // Signals are for the thread that waits for them.
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
    try {
      io->run();
    } catch (const std::exception& fault) {
      BEAM_LOG_ERROR(kRuntime, "published ports are served no more: {}", fault.what());
    }
  });
  return success();
}

void Publisher::suspend() {
  if (!io_) {
    return;
  }
  io_->stop();
  if (thread_.joinable()) {
    thread_.join();
  }
  for (const auto& each : streams_) {
    each->close();
  }
  for (const auto& each : datagrams_) {
    each->close();
  }
  // What is under way goes with the loop that it waits in.
  streams_.clear();
  datagrams_.clear();
  io_.reset();
}

Result<> Publisher::listen() {
  for (const PublishedPort& port : ports_) {
    BEAM_TRY(listen(port));
  }
  return success();
}

Result<> Publisher::listen(const PublishedPort& port) {
  if (port.address) {
    return listen(port, *port.address);
  }
  BEAM_TRY(listen(port, ns::IpAddress::v4(INADDR_ANY)));
  const auto six = listen(port, ns::IpAddress());
  const bool without = !six.ok() && (six.error().code() == EAFNOSUPPORT || six.error().code() == EADDRNOTAVAIL);
  return without ? Result<>(success()) : six;  // a workstation without IPv6
}

Result<> Publisher::listen(const PublishedPort& port, const ns::IpAddress& address) {
  const int family = address.is_v4() ? AF_INET : AF_INET6;
  const bool stream = port.protocol == IPPROTO_TCP;
  UniqueFd socket(::socket(family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (socket && family == AF_INET6) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (socket && stream) {
    // Over connections of before that linger in TIME_WAIT.
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  const auto name = ns::to_socket_address(address, port.port, family);
  if (!socket || ::bind(socket.get(), name.raw(), name.size) != 0 ||
      (stream && ::listen(socket.get(), SOMAXCONN) != 0)) {
    return refused(port, address, errno);
  }
  if (stream) {
    streams_.push_back(std::make_shared<StreamForwarder>(*io_, network_, port, std::move(socket)));
    streams_.back()->start();
  } else {
    datagrams_.push_back(std::make_shared<DatagramForwarder>(*io_, network_, port, std::move(socket), patience_));
    datagrams_.back()->start();
  }
  return success();
}

}  // namespace beam::runtime
