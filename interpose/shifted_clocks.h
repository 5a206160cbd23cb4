// Times of a sandbox that was thawed. Its CLOCK_MONOTONIC and CLOCK_BOOTTIME go on from where they were frozen, so they
// differ from the kernel's by the offsets that Beam's vDSO adds. Whatever else gives or takes a time of these clocks is
// trapped in such a sandbox alone (when_shifted()) and translated here; times from now on, and those of CLOCK_REALTIME,
// need nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "interpose/call.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {

// In a TrapWhen: only in a sandbox whose clocks are shifted. An ArgTest of no argument.
constexpr int kShiftedClocks = -1;
inline ArgTest when_shifted() {
  return {kShiftedClocks, 0, 0, true};
}

// What the sandbox's `clock` is ahead of the kernel's, in nanoseconds.
[[nodiscard]] std::int64_t clock_offset(const Shared& shared, int clock);
// The call with the kernel's time in place of the sandbox's, in the timespec (or, with `interval`, in the it_value of
// the itimerspec) that argument `arg` points at.
[[nodiscard]] Rewrite with_kernel_time(RewriteCall& call, std::size_t arg, std::int64_t offset, bool interval = false);
// The call, whose result in the timespec at `address` gets the offset.
[[nodiscard]] Rewrite with_sandbox_result(std::uint64_t address, std::int64_t offset);

}  // namespace beam::interpose
