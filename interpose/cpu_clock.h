// Clock ids that name a process or thread.
#pragma once

namespace beam::interpose {

struct Shared;

// The same clock in the workstation's names; unchanged when it names nobody. One that nobody has where it names nobody of
// the sandbox.
[[nodiscard]] int host_clock(const Shared& shared, int clock);
// The other way.
[[nodiscard]] int virtual_clock(const Shared& shared, int clock);

}  // namespace beam::interpose
