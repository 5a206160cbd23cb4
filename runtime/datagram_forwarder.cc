#include "runtime/datagram_forwarder.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "runtime/stream_forwarder.h"

namespace beam::runtime {
namespace {

constexpr std::size_t kMostBytes = 65536;  // more than any datagram has
constexpr int kQueue = 4 << 20;            // bytes
constexpr unsigned kTurns = 64;            // datagrams at a time

struct ControlBuffer {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> bytes{};
};

int option_of(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  ::getsockopt(fd, SOL_SOCKET, option, &value, &size);
  return value;
}

struct Destination {
  ns::IpAddress ip;
  unsigned interface = 0;
};

bool is_of_one_link(const ns::IpAddress& ip) {
  return !ip.is_v4() && ip.bytes[0] == 0xfe && (ip.bytes[1] & 0xc0) == 0x80;
}

// What a datagram was sent to (IP_PKTINFO in ip(7)).
Destination destination_of(msghdr& message) {
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      return {ns::IpAddress::v4(ntohl(info.ipi_addr.s_addr)), 0};
    }
    if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      return {ns::IpAddress::v6(info.ipi6_addr), info.ipi6_ifindex};
    }
  }
  return {};
}

template <typename Info>
void put_control(msghdr& message, int level, int type, const Info& info) {
  message.msg_controllen = CMSG_SPACE(sizeof info);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(header), &info, sizeof info);
}

// Has it come from `source`, whatever the routes say; broadcasts and groups can't be a source.
void set_source(msghdr& message, const ns::IpAddress& source, unsigned interface) {
  if (source.is_for_many() || source.is_any()) {
    message.msg_controllen = 0;
  } else if (source.is_v4()) {
    in_pktinfo info{};
    info.ipi_spec_dst.s_addr = htonl(source.v4());
    put_control(message, IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    std::memcpy(info.ipi6_addr.s6_addr, source.bytes.data(), source.bytes.size());
    info.ipi6_ifindex = interface;
    put_control(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

}  // namespace

DatagramForwarder::DatagramForwarder(asio::io_context& io, std::shared_ptr<ns::NetworkSpace> network,
                                     const PublishedPort& port, UniqueFd socket, const DatagramPatience& patience)
    : io_(io),
      network_(std::move(network)),
      port_(port),
      patience_(patience),
      outside_(io, socket.release()),
      family_(option_of(outside_.native_handle(), SO_DOMAIN)),
      timer_(io),
      buffer_(kMostBytes) {
  // As much as the workstation grants (net.core.rmem_max): everybody's bursts come here.
  ::setsockopt(outside_.native_handle(), SOL_SOCKET, SO_RCVBUF, &kQueue, sizeof kQueue);
  const int on = 1;
  if (family_ == AF_INET6) {
    ::setsockopt(outside_.native_handle(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  } else {
    ::setsockopt(outside_.native_handle(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  }
}

void DatagramForwarder::start() {
  wait();
  expire();
}

void DatagramForwarder::close() {
  closed_ = true;
  timer_.cancel();
  flows_.clear();
  std::error_code ignored;
  outside_.close(ignored);
}

void DatagramForwarder::wait() {
  outside_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& fault) {
    if (!fault && !closed_) {
      receive();
      wait();
    }
  });
}

void DatagramForwarder::receive() {
  for (unsigned turn = 0; turn < kTurns; ++turn) {
    sockaddr_storage source{};
    ControlBuffer control;
    iovec part{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &source;
    message.msg_namelen = sizeof source;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    const ssize_t got = ::recvmsg(outside_.native_handle(), &message, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
      }
      continue;  // of a datagram that was sent before
    }
    if (const auto client = ns::parse_socket_address(&source, message.msg_namelen)) {
      const Destination to = destination_of(message);
      const unsigned interface = is_of_one_link(client->ip) ? to.interface : 0;
      pass_in({{client->ip, client->port}, to.ip, interface}, static_cast<std::size_t>(got));
    }
  }
}

void DatagramForwarder::pass_in(const Client& client, std::size_t size) {
  Flow* flow = find_flow(client);
  if (flow == nullptr) {
    return;  // nobody is there
  }
  touch(*flow);
  const auto send = [&] { return ::send(flow->inside.native_handle(), buffer_.data(), size, MSG_DONTWAIT); };
  // The second time after an earlier one's refusal has been told; the service may have come back elsewhere.
  if (send() < 0 && errno == ECONNREFUSED && connect(*flow)) {
    (void)send();
  }
}

DatagramForwarder::Flow* DatagramForwarder::find_flow(const Client& client) {
  if (const auto known = flows_.find(client); known != flows_.end()) {
    return known->second.get();
  }
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd && !by_use_.empty()) {
    forget(by_use_.front());
    fd.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  const auto source = ns::to_socket_address(network_->source_for(network_->address4()), 0, AF_INET);
  sockaddr_storage own{};
  socklen_t own_size = sizeof own;
  if (!fd || ::bind(fd.get(), source.raw(), source.size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &own_size) != 0) {
    return nullptr;
  }
  const auto parsed = ns::parse_socket_address(&own, own_size);
  const auto flow = std::make_shared<Flow>(io_, std::move(fd));
  flow->own = {parsed->ip, parsed->port};
  if (!connect(*flow)) {
    return nullptr;
  }
  if (flows_.size() >= patience_.most_flows) {
    forget(by_use_.front());
  }
  flow->place = by_use_.insert(by_use_.end(), client);
  flows_.emplace(client, flow);
  wait_for_answer(client, flow);
  return flow.get();
}

bool DatagramForwarder::connect(Flow& flow) {
  const auto place = find_published(*network_, port_, flow.own);
  if (!place) {
    return false;
  }
  const auto to = ns::to_socket_address(*place, AF_INET);
  return ::connect(flow.inside.native_handle(), to.raw(), to.size) == 0;
}

void DatagramForwarder::wait_for_answer(const Client& client, const std::shared_ptr<Flow>& flow) {
  flow->inside.async_wait(asio::posix::stream_descriptor::wait_read,
                          [this, client, weak = std::weak_ptr(flow)](const std::error_code& fault) {
                            const auto self = weak.lock();
                            if (fault || !self) {
                              return;
                            }
                            for (unsigned turn = 0; turn < kTurns; ++turn) {
                              const ssize_t got =
                                  ::recv(self->inside.native_handle(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
                              if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                                break;
                              }
                              if (got >= 0) {
                                self->answered = true;
                                touch(*self);
                                pass_out(client, static_cast<std::size_t>(got));
                              }
                            }
                            wait_for_answer(client, self);
                          });
}

void DatagramForwarder::pass_out(const Client& client, std::size_t size) {
  auto to = ns::to_socket_address(client.from, family_);
  ControlBuffer control;
  iovec part{buffer_.data(), size};
  msghdr message{};
  message.msg_name = &to.storage;
  message.msg_namelen = to.size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  set_source(message, client.to, client.interface);
  (void)::sendmsg(outside_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void DatagramForwarder::touch(Flow& flow) {
  flow.used = std::chrono::steady_clock::now();
  by_use_.splice(by_use_.end(), by_use_, flow.place);
}

void DatagramForwarder::expire() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<Client> quiet;
  for (const auto& [client, flow] : flows_) {
    if (now - flow->used >= (flow->answered ? patience_.answered : patience_.unanswered)) {
      quiet.push_back(client);
    }
  }
  for (const Client& client : quiet) {
    forget(client);
  }
  timer_.expires_after(std::min(patience_.unanswered, patience_.answered) / 2);
  timer_.async_wait([this](const std::error_code& fault) {
    if (!fault && !closed_) {
      expire();
    }
  });
}

void DatagramForwarder::forget(const Client& client) {
  // A copy: what it is called by may go with it.
  const Client gone = client;
  const auto known = flows_.find(gone);
  by_use_.erase(known->second->place);
  flows_.erase(known);
}

}  // namespace beam::runtime
