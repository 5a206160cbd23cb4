// Clock ids that name a process or thread.
#pragma once

#include <optional>

namespace beam::interpose {

struct Shared;

// The same clock in the workstation's names; unchanged when it names nobody, nothing when it names nobody of the
// sandbox.
[[nodiscard]] std::optional<int> host_clock(const Shared& shared, int clock);

}  // namespace beam::interpose
