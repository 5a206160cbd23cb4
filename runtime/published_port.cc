#include "runtime/published_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <string_view>

namespace beam::runtime {
namespace {

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) {
    return false;
  }
  text.remove_suffix(suffix.size());
  return true;
}

// A port number at the end, behind something and a colon unless it is all there is.
std::optional<std::uint16_t> take_port(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view digits = colon == std::string_view::npos ? text : text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (fault != std::errc() || end != digits.data() + digits.size() || port == 0 || colon == 0) {
    return std::nullopt;
  }
  text = colon == std::string_view::npos ? std::string_view() : text.substr(0, colon);
  return port;
}

std::optional<ns::IpAddress> parse_address(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) {
    in6_addr six{};
    const std::string inner(text.substr(1, text.size() - 2));
    return ::inet_pton(AF_INET6, inner.c_str(), &six) == 1 ? std::optional(ns::IpAddress::v6(six)) : std::nullopt;
  }
  in_addr four{};
  const std::string whole(text);
  return ::inet_pton(AF_INET, whole.c_str(), &four) == 1 ? std::optional(ns::IpAddress::v4(ntohl(four.s_addr)))
                                                         : std::nullopt;
}

}  // namespace

Result<PublishedPort> parse_published_port(const std::string& text) {
  const auto fault = [&](const std::string& reason) {
    return Error(0, "--publish '" + text + "': " + reason).remedy("use [ADDR:]PORT:VPORT[/udp], as in 8080:80");
  };
  PublishedPort published;
  std::string_view rest = text;
  published.protocol = take_suffix(rest, "/udp") ? IPPROTO_UDP : IPPROTO_TCP;
  if (published.protocol == IPPROTO_TCP) {
    take_suffix(rest, "/tcp");
  }
  if (rest.find('/') != std::string_view::npos) {
    return fault("its protocol is neither tcp nor udp");
  }
  const auto virtual_port = take_port(rest);
  const auto port = virtual_port && !rest.empty() ? take_port(rest) : std::nullopt;
  if (!port) {
    return fault("it has not two ports from 1 to 65535");
  }
  published.port = *port;
  published.virtual_port = *virtual_port;
  if (!rest.empty()) {
    published.address = parse_address(rest);
    if (!published.address) {
      return fault("'" + std::string(rest) + "' is no address; one of IPv6 stands in brackets");
    }
  }
  return published;
}

Result<std::vector<PublishedPort>> parse_published_ports(const std::vector<std::string>& texts) {
  std::vector<PublishedPort> ports;
  for (const std::string& text : texts) {
    BEAM_TRY_ASSIGN(auto port, parse_published_port(text));
    ports.push_back(port);
  }
  return ports;
}

}  // namespace beam::runtime
