#include "migrate/network.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "interpose/inet_calls.h"
#include "migrate/codec.h"

namespace beam::migrate {
namespace {

bool read_address(const std::vector<std::uint8_t>& bytes, ns::IpAddress& address) {
  if (bytes.size() != address.bytes.size()) {
    return false;
  }
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return true;
}

std::vector<std::uint8_t> bytes_of(const ns::IpAddress& address) {
  return {address.bytes.begin(), address.bytes.end()};
}

SocketOption* find_v6_only(SocketOptions& options) {
  const auto found = std::find_if(options.list.begin(), options.list.end(), [](const SocketOption& option) {
    return option.level == IPPROTO_IPV6 && option.option == IPV6_V6ONLY;
  });
  return found == options.list.end() ? nullptr : &*found;
}

std::uint64_t cookie_of(int fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
  return cookie;
}

constexpr std::int32_t kOn = 1;
constexpr std::int32_t kOff = 0;

void set_value(SocketOption& option, std::int32_t value) {
  option.value.resize(sizeof value);
  std::memcpy(option.value.data(), &value, sizeof value);
}

std::vector<std::uint8_t> bytes_of(const std::vector<sock_filter>& code) {
  std::vector<std::uint8_t> bytes(code.size() * sizeof code[0]);
  std::memcpy(bytes.data(), code.data(), bytes.size());
  return bytes;
}

std::vector<std::uint8_t> filter_bytes(std::uint32_t index, bool outside) {
  return bytes_of(interpose::datagram_filter(index, outside));
}

// As it was before groups had blocks of indices: it let in the one sandbox.
std::vector<std::uint8_t> filter_bytes_of_one(std::uint32_t index, bool outside) {
  auto code = interpose::datagram_filter(index, outside);
  for (std::size_t i = 0; i + 1 < code.size(); ++i) {
    if (code[i].code == (BPF_ALU | BPF_AND | BPF_K)) {
      code[i].k |= ns::kMembers - 1;
      code[i + 1].k |= ns::member_of(index);
    }
  }
  return bytes_of(code);
}

}  // namespace

NetworkState collect_network(const ns::NetworkSpace* network) {
  NetworkState state;
  if (network == nullptr) {
    return state;
  }
  state.index = network->index();
  for (const auto& [protocol, binding] : network->bindings()) {
    state.bindings.push_back(
        {protocol, bytes_of(binding.ip), binding.port, binding.v6_only, bytes_of(binding.host.ip), binding.host.port});
  }
  return state;
}

Result<> restore_network(ns::NetworkSpace* network, const NetworkState& state) {
  if (network == nullptr || state.index == ns::kNoIndex) {
    return success();
  }
  network->carry_over_from(state.index);
  for (const NetworkBindingState& stored : state.bindings) {
    ns::Binding binding;
    ns::IpAddress host;
    if (!read_address(stored.address, binding.ip) || !read_address(stored.host_address, host)) {
      return Error(kDamaged, "an address that the sandbox has bound");
    }
    binding.port = stored.port;
    binding.v6_only = stored.v6_only;
    binding.host = {network->carried_over(host), stored.host_port};
    network->record(stored.protocol, binding);
  }
  return success();
}

void carry_over(const ns::NetworkSpace* network, InetAddress& address) {
  if (network == nullptr || !is_inet_address(address)) {
    return;
  }
  const auto parsed = ns::parse_socket_address(address.data(), address.size());
  const ns::IpAddress ip = network->carried_over(parsed->ip);
  if (ip != parsed->ip) {
    const auto carried = ns::to_socket_address(ip, parsed->port, raw(address)->sa_family);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(carried.raw());
    address.assign(bytes, bytes + carried.size);
  }
}

void collect_v6_only(const ns::NetworkSpace* network, int fd, SocketOptions& options) {
  SocketOption* option = find_v6_only(options);
  if (network != nullptr && option != nullptr && network->v6_only(cookie_of(fd))) {
    set_value(*option, kOn);
  }
}

void forget_v6_only(SocketOptions& options) {
  if (SocketOption* option = find_v6_only(options)) {
    set_value(*option, kOff);
  }
}

void restore_v6_only(ns::NetworkSpace* network, int fd, const SocketOptions& options) {
  SocketOptions copy = options;
  const SocketOption* option = find_v6_only(copy);
  std::int32_t value = kOff;
  if (network != nullptr && option != nullptr && option->value.size() == sizeof value) {
    std::memcpy(&value, option->value.data(), sizeof value);
    network->set_v6_only(cookie_of(fd), value != kOff);
  }
}

void mark_datagrams(const ns::NetworkSpace* network, int fd) {
  interpose::InetSocket socket;
  socket.fd.reset(network != nullptr ? ::fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1);
  if (const auto own = socket.fd ? socket.own() : std::nullopt; own && own->port != 0 && own->ip.is_any()) {
    interpose::mark_as_ours(socket);
  }
}

void carry_over_filter(const ns::NetworkSpace* network, SocketOptions& options) {
  for (const bool outside : {false, true}) {
    if (network != nullptr && (options.filter == filter_bytes(network->former_index(), outside) ||
                               options.filter == filter_bytes_of_one(network->former_index(), outside))) {
      options.filter = filter_bytes(network->index(), outside);
      return;
    }
  }
}

}  // namespace beam::migrate
