// The network of a sandbox, as its record says it is to be.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "ns/network_space.h"
#include "runtime/record.h"

namespace beam::runtime {

// The words of `beam run --net`.
inline constexpr const char* kNetworkGroup = "group";
inline constexpr const char* kNetworkHost = "host";
inline constexpr const char* kNetworkNone = "none";
[[nodiscard]] bool is_network_mode(const std::string& word);

// Null for the workstation's own. Sets the record's address where it has none yet.
[[nodiscard]] Result<std::shared_ptr<ns::NetworkSpace>> make_network(SandboxRecord& record);

}  // namespace beam::runtime
