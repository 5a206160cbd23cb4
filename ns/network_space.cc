#include "ns/network_space.h"

#include <algorithm>
#include <cstring>

namespace beam::ns {
namespace {

Part part_of(const Binding& binding) {
  if (binding.ip.is_loopback()) {
    return binding.ip.is_v4() ? Part::kLoopback4 : Part::kLoopback6;
  }
  // What is bound to both families is where IPv4 is.
  return binding.ip.is_v4() || binding.is_dual() ? Part::kGroup4 : Part::kGroup6;
}

bool is_same(const Binding& one, const Binding& other) {
  return one.ip == other.ip && one.v6_only == other.v6_only;
}

}  // namespace

NetworkSpace::NetworkSpace(HostIndex index, std::uint32_t address) : index_(std::move(index)), address_(address) {}

bool NetworkSpace::in_network(const IpAddress& ip) {
  if (ip.is_v4()) {
    return (ip.v4() ^ kNetwork) >> (32 - kPrefixLength) == 0;
  }
  const IpAddress first = v6_of(0);
  return std::equal(ip.bytes.begin(), ip.bytes.begin() + 6, first.bytes.begin());
}

IpAddress NetworkSpace::v6_of(std::uint32_t address) {
  IpAddress ip;
  constexpr std::uint8_t kPrefix[] = {0xfd, 0x62, 0x65, 0x61, 0x6d, 0x00};
  std::memcpy(ip.bytes.data(), kPrefix, sizeof kPrefix);
  for (unsigned i = 0; i < 4; ++i) {
    ip.bytes[12 + i] = static_cast<std::uint8_t>(address >> (24 - 8 * i));
  }
  return ip;
}

std::uint32_t NetworkSpace::member_at(const IpAddress& ip) {
  if (!in_network(ip)) {
    return 0;
  }
  std::uint32_t address = 0;
  for (unsigned i = 0; i < 4; ++i) {
    address = address << 8 | ip.bytes[12 + i];
  }
  return address > kNetwork && address - kNetwork < kMembers && (ip.is_v4() || ip == v6_of(address))
             ? address - kNetwork
             : 0;
}

bool NetworkSpace::is_own(const IpAddress& ip) const {
  return ip.is_any() || ip.is_loopback() || ip == address4() || ip == address6();
}

HostEndpoint NetworkSpace::place_for(const Binding& binding) const {
  const Part part = part_of(binding);
  if (part == Part::kLoopback4 && binding.ip != IpAddress::loopback4()) {
    return moved_place();  // one of the many other addresses of the loopback
  }
  if (binding.port != 0 && binding.port < kFirstUnprivileged) {
    return {part_address(Part::kMoved, index()), moved_low_port(part, binding.port)};
  }
  return {part_address(part, index()), binding.port};
}

HostEndpoint NetworkSpace::unused_place(std::uint16_t port) const {
  constexpr std::uint32_t kUnusedPart = 6;
  return {part_address(static_cast<Part>(kUnusedPart), index()), port};
}

std::vector<HostEndpoint> NetworkSpace::must_be_free(Protocol protocol, const Binding& binding) const {
  std::vector<HostEndpoint> places;
  const HostEndpoint own = place_for(binding);
  const auto add = [&](const Binding& other) {
    const HostEndpoint place = place_for(other);
    if (place.port != 0 && place != own && std::find(places.begin(), places.end(), place) == places.end()) {
      places.push_back(place);
    }
  };
  const bool covers4 = binding.is_any4() || binding.is_dual();
  const bool covers6 = binding.is_any6() || binding.is_dual();
  if (covers4) {
    add({IpAddress::loopback4(), binding.port, false, {}});
    add({address4(), binding.port, false, {}});
  }
  if (covers6) {
    add({IpAddress::loopback6(), binding.port, false, {}});
    add({address6(), binding.port, false, {}});
  }
  for (const HostEndpoint& place : recorded_in_the_way(protocol, binding)) {
    if (std::find(places.begin(), places.end(), place) == places.end()) {
      places.push_back(place);
    }
  }
  return places;
}

std::vector<HostEndpoint> NetworkSpace::recorded_in_the_way(Protocol protocol, const Binding& binding) const {
  std::vector<HostEndpoint> places;
  const HostEndpoint own = place_for(binding);
  const bool covers4 = binding.is_any4() || binding.is_dual();
  const bool covers6 = binding.is_any6() || binding.is_dual();
  const std::shared_lock lock(mutex_);
  const auto known = by_port_.find({protocol, binding.port});
  if (known == by_port_.end()) {
    return places;
  }
  // Those who have all addresses, as far as they have this one, and those whose address this one has.
  const bool has4 = covers4 || binding.ip.is_v4();
  const bool has6 = covers6 || !binding.ip.is_v4();
  for (const Binding& other : known->second) {
    const bool all = (has4 && (other.is_any4() || other.is_dual())) || (has6 && (other.is_any6() || other.is_dual()));
    const bool same = other.ip == binding.ip || (other.ip.is_v4() ? covers4 : covers6);
    if ((all || same) && other.host != own) {
      places.push_back(other.host);
    }
  }
  return places;
}

void NetworkSpace::record(Protocol protocol, const Binding& binding) {
  const std::unique_lock lock(mutex_);
  auto& list = by_port_[{protocol, binding.port}];
  std::erase_if(list, [&](const Binding& other) { return is_same(other, binding) || other.host == binding.host; });
  list.insert(list.begin(), binding);
  by_host_[{protocol, binding.host}] = binding;
}

std::optional<Binding> NetworkSpace::binding_at(Protocol protocol, const HostEndpoint& host) const {
  const std::shared_lock lock(mutex_);
  const auto found = by_host_.find({protocol, host});
  return found == by_host_.end() ? std::nullopt : std::optional<Binding>(found->second);
}

void NetworkSpace::set_v6_only(std::uint64_t cookie, bool on) {
  const std::unique_lock lock(mutex_);
  if (on) {
    v6_only_.insert(cookie);
  } else {
    v6_only_.erase(cookie);
  }
}

bool NetworkSpace::v6_only(std::uint64_t cookie) const {
  const std::shared_lock lock(mutex_);
  return v6_only_.contains(cookie);
}

NetworkSpace::Place NetworkSpace::place_of(const IpAddress& ip) const {
  // A destination of all zeros is the machine itself (ip_route_output_key_hash_rcu, net/ipv4/route.c).
  if (ip.is_loopback() || ip.is_any()) {
    return Place::kLoopback;
  }
  if (ip == address4() || ip == address6()) {
    return Place::kOwn;
  }
  return in_network(ip) ? Place::kGroup : Place::kOutside;
}

std::vector<HostEndpoint> NetworkSpace::candidates(Protocol protocol, const VirtualEndpoint& to) const {
  std::vector<HostEndpoint> places;
  const IpAddress ip = !to.ip.is_any() ? to.ip : to.ip.is_v4() ? IpAddress::loopback4() : IpAddress::loopback6();
  const Place place = place_of(ip);
  if (place == Place::kGroup) {
    return candidates_of_member(protocol, to);
  }
  if (place != Place::kLoopback && place != Place::kOwn) {
    return places;
  }
  const std::shared_lock lock(mutex_);
  const auto known = by_port_.find({protocol, to.port});
  if (known == by_port_.end()) {
    return places;
  }
  for (const Binding& binding : known->second) {
    if (binding.ip == ip) {
      places.push_back(binding.host);
    }
  }
  for (const Binding& binding : known->second) {
    if (binding.is_dual() || (ip.is_v4() ? binding.is_any4() : binding.is_any6())) {
      places.push_back(binding.host);
    }
  }
  return places;
}

std::vector<HostEndpoint> NetworkSpace::candidates_of_member(Protocol protocol, const VirtualEndpoint& to) const {
  std::vector<HostEndpoint> places;
  const std::uint32_t member = member_at(to.ip);
  if (member == 0) {
    return places;
  }
  const std::uint32_t there = index_of(block_of(index()), member);
  {
    const std::shared_lock lock(mutex_);
    if (const auto known = learned_.find({protocol, to}); known != learned_.end()) {
      places.push_back(known->second);
    }
  }
  const auto add = [&](Part part) {
    places.push_back(to.port != 0 && to.port < kFirstUnprivileged
                         ? HostEndpoint{part_address(Part::kMoved, there), moved_low_port(part, to.port)}
                         : HostEndpoint{part_address(part, there), to.port});
  };
  if (!to.ip.is_v4()) {
    add(Part::kGroup6);
  }
  add(Part::kGroup4);  // what is bound to both families is there
  return places;
}

bool NetworkSpace::is_inhabited(const IpAddress& ip) const {
  const std::uint32_t member = member_at(ip);
  return member != 0 && HostIndex::is_claimed(index_of(block_of(index()), member));
}

void NetworkSpace::learn(Protocol protocol, const VirtualEndpoint& of, const HostEndpoint& at) {
  const std::unique_lock lock(mutex_);
  const auto known = learned_.find({protocol, of});
  if (known != learned_.end()) {
    learned_back_.erase({protocol, known->second});
  }
  learned_[{protocol, of}] = at;
  learned_back_[{protocol, at}] = of;
}

HostEndpoint NetworkSpace::unrecorded_place(const VirtualEndpoint& to) const {
  if (place_of(to.ip) == Place::kGroup) {
    const std::uint32_t there = index_of(block_of(index()), member_at(to.ip));
    return {part_address(to.ip.is_v4() ? Part::kGroup4 : Part::kGroup6, there), to.port};
  }
  return {source_for(to.ip), to.port};
}

IpAddress NetworkSpace::source_for(const IpAddress& to) const {
  const bool loopback = place_of(to) == Place::kLoopback;
  const bool v4 = to.is_v4();
  return part_address(loopback ? (v4 ? Part::kLoopback4 : Part::kLoopback6) : (v4 ? Part::kGroup4 : Part::kGroup6),
                      index());
}

NetworkSpace::End NetworkSpace::end_at(Protocol protocol, const HostEndpoint& host) const {
  const PartAddress at = parse_part(host.ip);
  const bool grouped = at.part != Part::kNone && block_of(at.index) == block_of(index());
  End end{grouped && at.index == index(), grouped ? at.index : kNoIndex, at.part, host.port, std::nullopt};
  if (at.part != Part::kMoved) {
    return end;
  }
  if (const auto low = parse_low_port(host.port)) {
    end.part = low->part;
    end.port = low->port;
  } else if (const auto outsider = outsider_at(protocol, host)) {
    end.part = outsider->ip.is_v4() ? Part::kGroup4 : Part::kGroup6;
    end.port = outsider->port;
    end.ip = outsider->ip;
  } else if (const auto binding = binding_at(protocol, host); binding && end.ours) {
    end.part = part_of(*binding);
    end.port = binding->port;
    end.ip = binding->ip.is_any() ? std::nullopt : std::optional<IpAddress>(binding->ip);
  } else if (grouped && !end.ours) {
    const std::shared_lock lock(mutex_);
    if (const auto known = learned_back_.find({protocol, host}); known != learned_back_.end()) {
      end.part = known->second.ip.is_v4() ? Part::kGroup4 : Part::kGroup6;
      end.port = known->second.port;
      end.ip = known->second.ip;
    }
  }
  return end;
}

VirtualEndpoint NetworkSpace::shown(Protocol protocol, const HostEndpoint& host) const {
  const End end = end_at(protocol, host);
  if (end.part == Part::kNone) {
    // Bound by the kernel on its way to the outside, to all addresses or to one of the workstation's; or to nobody's.
    return {host.ip.is_any() || host.ip.is_for_many() ? host.ip : host.ip.is_v4() ? address4() : address6(), host.port};
  }
  if (const auto binding = binding_at(protocol, host)) {
    return {binding->ip, binding->port};
  }
  return shown_end(end, host, is_loopback(end.part), is_v6(end.part));
}

NetworkSpace::Ends NetworkSpace::shown(Protocol protocol, const HostEndpoint& own, const HostEndpoint& peer) const {
  const End near = end_at(protocol, own);
  const End far = end_at(protocol, peer);
  if (far.part == Part::kNone) {
    return {{peer.ip.is_v4() ? address4() : address6(), near.port}, {peer.ip, peer.port}};
  }
  // Which of the addresses of a socket that is bound to all of them has been used, the other end's tells.
  const bool loopback = far.ours && (is_loopback(near.part) || is_loopback(far.part));
  const bool v6 = is_v6(near.part) || is_v6(far.part);
  return {shown_end(near, own, loopback, v6), shown_end(far, peer, loopback, v6)};
}

VirtualEndpoint NetworkSpace::shown_end(const End& end, const HostEndpoint& host, bool loopback, bool v6) const {
  if (end.part == Part::kNone) {
    return {host.ip, host.port};
  }
  if (end.ip) {
    return {*end.ip, end.port};
  }
  if (loopback) {
    return {v6 ? IpAddress::loopback6() : IpAddress::loopback4(), end.port};
  }
  const std::uint32_t address = end.ours || end.index == kNoIndex ? address_ : address_of_member(member_of(end.index));
  return {v6 ? v6_of(address) : IpAddress::v4(address), end.port};
}

bool NetworkSpace::may_reach_us(const HostEndpoint& from) const {
  const PartAddress at = parse_part(from.ip);
  // Another sandbox's loopback is its own.
  return at.part != Part::kNone &&
         (at.index == index() || (block_of(at.index) == block_of(index()) && !is_loopback(at.part)));
}

void NetworkSpace::expect(const HostEndpoint& from, const HostEndpoint& to) {
  constexpr std::size_t kRemembered = 4096;  // SOMAXCONN: what a listening socket can have waiting
  const std::unique_lock lock(mutex_);
  expected_.emplace(from, to);
  expected_order_.emplace_back(from, to);
  if (expected_order_.size() > kRemembered) {
    expected_.erase(expected_order_.front());
    expected_order_.pop_front();
  }
}

bool NetworkSpace::was_expected(const HostEndpoint& from, const HostEndpoint& to) {
  const std::unique_lock lock(mutex_);
  return expected_.erase({from, to}) != 0;
}

void NetworkSpace::set_outsider(Protocol protocol, const HostEndpoint& at, const VirtualEndpoint& outsider) {
  const std::unique_lock lock(mutex_);
  outsiders_[{protocol, at}] = outsider;
}

void NetworkSpace::forget_outsider(Protocol protocol, const HostEndpoint& at) {
  const std::unique_lock lock(mutex_);
  outsiders_.erase({protocol, at});
}

std::optional<VirtualEndpoint> NetworkSpace::outsider_at(Protocol protocol, const HostEndpoint& host) const {
  const std::shared_lock lock(mutex_);
  const auto found = outsiders_.find({protocol, host});
  return found == outsiders_.end() ? std::nullopt : std::optional(found->second);
}

IpAddress NetworkSpace::carried_over(const IpAddress& host) const {
  const PartAddress at = parse_part(host);
  if (at.part == Part::kNone || former_index_ == kNoIndex) {
    return host;
  }
  if (at.index == former_index_) {
    return part_address(at.part, index());
  }
  // Another sandbox of the group, whose number is as it was. Images of before there were groups have none.
  const bool grouped = block_of(at.index) == block_of(former_index_) && member_of(former_index_) == member_of(index());
  return grouped ? part_address(at.part, index_of(block_of(index()), member_of(at.index))) : host;
}

std::vector<NetworkSpace::Saved> NetworkSpace::bindings() const {
  const std::shared_lock lock(mutex_);
  std::vector<Saved> all;
  for (const auto& [key, list] : by_port_) {
    for (auto at = list.rbegin(); at != list.rend(); ++at) {
      all.push_back({key.first, *at});
    }
  }
  return all;
}

}  // namespace beam::ns
