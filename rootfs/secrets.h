// Where the workstation keeps what no sandbox should read: keys, tokens, keyrings, browser profiles. Hidden from every
// mount view unless shown (beam run --show); printed by `beam doctor`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace beam::rootfs {

// Relative to a home directory.
[[nodiscard]] const std::vector<std::string_view>& secret_places();
// The same, absolute, below `home`.
[[nodiscard]] std::vector<std::string> secrets_of(const std::string& home);

}  // namespace beam::rootfs
