// A group of sandboxes in the store of names, and a sandbox's place in it: its number, which is its address, and its
// block of indices on this workstation (host_addresses.h).
//
//     groups/GROUP/blocks/WORKSTATION     the block of indices and its token
//     groups/GROUP/sandboxes/NUMBER       who has it; as long as its supervisor lives
//     groups/GROUP/names/NAME             that the name is taken; as long
//     groups/GROUP/moved/NUMBER/...       where a port is that could not keep its number; as long
//
// The store is asked when a sandbox starts, when the group's names are read, and for ports that have moved: no call on
// the way of a connection waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ns/host_addresses.h"
#include "ns/network_space.h"
#include "ns/store.h"

namespace beam::ns {

struct Member {
  std::string name;
  std::string host_name;
  std::string workstation;
  std::uint32_t number = 0;
};

class Group : public MovedPorts {
 public:
  // Takes `wanted` as its number, or the first that is free where that is 0. Errors: EEXIST when the name, EADDRINUSE
  // when the number is taken.
  static Result<std::shared_ptr<Group>> join(std::shared_ptr<Store> store, const std::string& group,
                                             const Member& wanted);

  // Nothing of the sandbox is left: another may have its name and its number.
  void leave() { lease_.reset(); }

  [[nodiscard]] const Member& self() const { return self_; }
  // The claim goes to who makes the network of it.
  [[nodiscard]] HostIndex take_index() { return std::move(*index_); }

  // All that live, by number; the sandbox itself among them.
  [[nodiscard]] Result<std::vector<Member>> members() const;

  // That a port of this sandbox has moved, and where one of another has moved to.
  [[nodiscard]] Result<> publish(Protocol protocol, const Binding& binding) override;
  [[nodiscard]] std::optional<HostEndpoint> find(Protocol protocol, const VirtualEndpoint& endpoint) const override;

 private:
  Group(std::shared_ptr<Store> store, std::string prefix) : store_(std::move(store)), prefix_(std::move(prefix)) {}
  Result<> join(const Member& wanted);
  enum class Attempt { kDone, kAgain };
  Result<Attempt> try_to_join(const Member& wanted, std::vector<bool>& held);

  const std::shared_ptr<Store> store_;
  const std::string prefix_;
  Member self_;
  std::unique_ptr<Lease> lease_;
  std::optional<HostIndex> index_;
};

}  // namespace beam::ns
