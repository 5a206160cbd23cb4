// The network of one sandbox as its programs see it, and what realises it on this workstation: an IPv4 and an IPv6
// address in the group's virtual network, a loopback of its own, and all ports of both, for each transport protocol.
// Other sandboxes of the group are reached at their addresses, never at their loopbacks.
// Sockets are the kernel's own throughout; only the addresses that they are bound and connected to stand for others
// (host_addresses.h).
//
// Owns: the claim of the sandbox's addresses on this workstation, and the record of what has been bound in it, which
// the kernel can't tell back: that a socket is bound to all addresses, and which port one that had to move stands for.
// A record is not taken back when its socket is closed, since closing is not looked at: what it says is where to look,
// and the kernel says whether somebody is there.
// Safe to use from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "ns/host_addresses.h"
#include "ns/inet_endpoint.h"

namespace beam::ns {

// One of IPPROTO_TCP, IPPROTO_UDP, ...: ports of different protocols are different.
using Protocol = int;

// What a program has bound. `ip`: 0.0.0.0 and :: for all addresses; `v6_only` tells whether :: has the IPv4 ones too.
struct Binding {
  IpAddress ip;
  std::uint16_t port = 0;
  bool v6_only = false;
  HostEndpoint host;
  [[nodiscard]] bool is_any4() const { return ip.is_v4() && ip.is_any(); }
  [[nodiscard]] bool is_any6() const { return !ip.is_v4() && ip.is_any() && v6_only; }
  [[nodiscard]] bool is_dual() const { return !ip.is_v4() && ip.is_any() && !v6_only; }
};

// What the sandboxes of a group let each other know of ports that can't keep their number.
class MovedPorts {
 public:
  virtual ~MovedPorts() = default;
  [[nodiscard]] virtual Result<> publish(Protocol protocol, const Binding& binding) = 0;
  [[nodiscard]] virtual std::optional<HostEndpoint> find(Protocol protocol, const VirtualEndpoint& endpoint) const = 0;
};

class NetworkSpace {
 public:
  // `address`: of the virtual network, host byte order.
  NetworkSpace(HostIndex index, std::uint32_t address);

  // 100.64.0.0/10 (RFC 6598), which no workstation's own network uses at its ends.
  static constexpr std::uint32_t kNetwork = 0x64400000;
  static constexpr int kPrefixLength = 10;
  static constexpr std::uint32_t kFirstAddress = kNetwork + 1;
  [[nodiscard]] static bool in_network(const IpAddress& ip);

  [[nodiscard]] std::uint32_t index() const { return index_.value(); }
  // Nothing of the sandbox is left: another may have its addresses.
  void leave() { index_.release(); }
  [[nodiscard]] IpAddress address4() const { return IpAddress::v4(address_); }
  // In fd62:6561:6d00::/48 (RFC 4193), with the IPv4 one at its end.
  [[nodiscard]] IpAddress address6() const { return v6_of(address_); }
  [[nodiscard]] static IpAddress v6_of(std::uint32_t address);
  // The sandbox of its group that an address is, by number: 0 when it can be nobody's.
  [[nodiscard]] static std::uint32_t member_at(const IpAddress& ip);
  [[nodiscard]] static std::uint32_t address_of_member(std::uint32_t member) { return kNetwork + member; }

  // --- binding ---

  // Whether a socket can be bound to it: one of the sandbox's addresses, of its loopback, or all.
  [[nodiscard]] bool is_own(const IpAddress& ip) const;
  // Where that is realised under its own port number, or the number that stands for a privileged one.
  [[nodiscard]] HostEndpoint place_for(const Binding& binding) const;
  // Where it is realised when an outsider has its port at every address of the workstation: at a port of the kernel's
  // choice.
  [[nodiscard]] HostEndpoint moved_place() const { return {part_address(Part::kMoved, index()), 0}; }
  // An address that no sandbox ever binds to: who can't bind there either is kept out by an outsider.
  [[nodiscard]] HostEndpoint unused_place(std::uint16_t port) const;
  // Where else nobody may be, for a bind to succeed as it would on a machine of its own.
  [[nodiscard]] std::vector<HostEndpoint> must_be_free(Protocol protocol, const Binding& binding) const;
  // Those of them that the sandbox itself has bound: an outsider may have all others.
  [[nodiscard]] std::vector<HostEndpoint> recorded_in_the_way(Protocol protocol, const Binding& binding) const;
  // Held over the whole of a bind: two at once would each find the other's place free.
  [[nodiscard]] std::mutex& bind_mutex() { return bind_mutex_; }
  // Held by the one thread that waits for a moment on behalf of a program.
  [[nodiscard]] std::mutex& wait_mutex() { return wait_mutex_; }
  void record(Protocol protocol, const Binding& binding);
  [[nodiscard]] std::optional<Binding> binding_at(Protocol protocol, const HostEndpoint& host) const;

  // IPV6_V6ONLY as the program has set it, of sockets that are realised by IPv4-mapped addresses. By SO_COOKIE.
  void set_v6_only(std::uint64_t cookie, bool on);
  [[nodiscard]] bool v6_only(std::uint64_t cookie) const;

  // --- reaching ---

  enum class Place { kLoopback, kOwn, kGroup, kOutside };
  [[nodiscard]] Place place_of(const IpAddress& ip) const;
  // Where somebody may be who is bound to the endpoint, the likeliest first. Of another sandbox of the group these are
  // all places that it could be realised at: whether somebody is there, the kernel says.
  [[nodiscard]] std::vector<HostEndpoint> candidates(Protocol protocol, const VirtualEndpoint& to) const;
  // Whether the group has a sandbox of that address, on this workstation.
  [[nodiscard]] bool is_inhabited(const IpAddress& ip) const;
  // A sandbox of the group has its endpoint at a place that can't be worked out.
  void learn(Protocol protocol, const VirtualEndpoint& of, const HostEndpoint& at);
  // Null: of a group of its own. Set before the first process is there.
  void set_moved_ports(std::shared_ptr<MovedPorts> ports) { moved_ports_ = std::move(ports); }
  [[nodiscard]] MovedPorts* moved_ports() const { return moved_ports_.get(); }
  // Where the endpoint is if its number was chosen by the kernel, as a connecting socket's is.
  [[nodiscard]] HostEndpoint unrecorded_place(const VirtualEndpoint& to) const;
  // The address that a socket without one of its own gets on its way there; its port is the kernel's choice.
  [[nodiscard]] IpAddress source_for(const IpAddress& to) const;

  // --- back ---

  // Of a socket that is bound to `host` and not connected.
  [[nodiscard]] VirtualEndpoint shown(Protocol protocol, const HostEndpoint& host) const;
  struct Ends {
    VirtualEndpoint own;
    VirtualEndpoint peer;
  };
  [[nodiscard]] Ends shown(Protocol protocol, const HostEndpoint& own, const HostEndpoint& peer) const;
  // Whether a packet from there may come from this sandbox or its group.
  [[nodiscard]] bool may_reach_us(const HostEndpoint& from) const;
  // A connection that the sandbox itself makes, and that its acceptor so need not ask the kernel about. Forgotten when
  // it was asked for, or many others came after it.
  void expect(const HostEndpoint& from, const HostEndpoint& to);
  [[nodiscard]] bool was_expected(const HostEndpoint& from, const HostEndpoint& to);

  // An end of a connection that the supervisor has made on behalf of somebody outside, whom the sandbox is shown in its
  // place. It lies at moved_place().
  void set_outsider(Protocol protocol, const HostEndpoint& at, const VirtualEndpoint& outsider);
  void forget_outsider(Protocol protocol, const HostEndpoint& at);
  [[nodiscard]] std::optional<VirtualEndpoint> outsider_at(Protocol protocol, const HostEndpoint& at) const;

  // --- freezing ---

  // The sandbox had another index, in the image that it is thawed from.
  void carry_over_from(std::uint32_t index) { former_index_ = index; }
  [[nodiscard]] std::uint32_t former_index() const { return former_index_; }
  // What realised a part of the network then, as it does now.
  [[nodiscard]] IpAddress carried_over(const IpAddress& host) const;
  struct Saved {
    Protocol protocol = 0;
    Binding binding;
  };
  [[nodiscard]] std::vector<Saved> bindings() const;

 private:
  struct End {  // of a connection, as far as its own address tells
    bool ours = false;
    std::uint32_t index = kNoIndex;  // kNoIndex: of no sandbox of the group
    Part part = Part::kNone;
    std::uint16_t port = 0;
    std::optional<IpAddress> ip;  // of a moved one
  };
  [[nodiscard]] End end_at(Protocol protocol, const HostEndpoint& host) const;
  [[nodiscard]] std::vector<HostEndpoint> candidates_of_member(Protocol protocol, const VirtualEndpoint& to) const;
  [[nodiscard]] VirtualEndpoint shown_end(const End& end, const HostEndpoint& host, bool loopback, bool v6) const;

  HostIndex index_;
  std::uint32_t address_;
  std::shared_ptr<MovedPorts> moved_ports_;
  std::uint32_t former_index_ = kNoIndex;
  std::mutex bind_mutex_;
  std::mutex wait_mutex_;
  mutable std::shared_mutex mutex_;
  std::map<std::pair<Protocol, std::uint16_t>, std::vector<Binding>> by_port_;  // the youngest first
  std::map<std::pair<Protocol, HostEndpoint>, Binding> by_host_;
  std::map<std::pair<Protocol, VirtualEndpoint>, HostEndpoint> learned_;
  std::map<std::pair<Protocol, HostEndpoint>, VirtualEndpoint> learned_back_;
  std::map<std::pair<Protocol, HostEndpoint>, VirtualEndpoint> outsiders_;
  std::set<std::uint64_t> v6_only_;
  using Connection = std::pair<HostEndpoint, HostEndpoint>;
  std::set<Connection> expected_;
  std::deque<Connection> expected_order_;  // oldest first; some are in the set no more
};

}  // namespace beam::ns
