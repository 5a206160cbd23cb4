// The network of a sandbox, as its record says it is to be.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "ns/group.h"
#include "ns/host_names.h"
#include "ns/network_space.h"
#include "ns/store.h"
#include "runtime/record.h"

namespace beam::runtime {

// The words of `beam run --net`.
inline constexpr const char* kNetworkGroup = "group";
inline constexpr const char* kNetworkHost = "host";
inline constexpr const char* kNetworkNone = "none";
[[nodiscard]] bool is_network_mode(const std::string& word);

struct Network {
  std::shared_ptr<ns::NetworkSpace> space;  // null: the workstation's own
  std::shared_ptr<ns::Group> group;         // null: it is a group of its own
};
// At the record's address where it has one, which is set otherwise. With `joins`, as one of the record's group, under
// the record's name; EEXIST: the name is taken in it. `names`: opened where it is needed, so that a sandbox of its own
// depends on no store.
[[nodiscard]] Result<Network> make_network(const std::string& home, bool joins, std::shared_ptr<ns::Store>& names,
                                           SandboxRecord& record);

// What the sandboxes are called that the one of `record` can reach by name, itself among them. Each is called by its
// name, and by its host name where that is not its workstation's. Asked from any thread.
[[nodiscard]] std::function<std::vector<ns::HostName>()> names_in(const Network& network, const SandboxRecord& record);

}  // namespace beam::runtime
