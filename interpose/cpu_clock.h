// Clock ids that name a process or thread.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>

namespace beam::interpose {

struct Shared;

// The same clock in the workstation's names; unchanged when it names nobody, nothing when it names nobody of the
// sandbox.
[[nodiscard]] std::optional<int> host_clock(const Shared& shared, int clock);

// The other way.
[[nodiscard]] int virtual_clock(const Shared& shared, int clock);

// What the sandbox shows of a clock beyond the workstation's, in nanoseconds (ClockOffsets); 0 for clocks that it
// leaves alone.
[[nodiscard]] std::int64_t clock_offset(const Shared& shared, int clock);
// A time that the kernel is to wait for, by the workstation's clock instead of the sandbox's. A time that the kernel
// would refuse stays as it is.
[[nodiscard]] timespec on_host_clock(const timespec& time, std::int64_t offset_ns);

}  // namespace beam::interpose
