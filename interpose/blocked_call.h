// The system call that a task sleeps in, and since when. The kernel forgets how long an interrupted sleep has lasted,
// or keeps it where only itself can read it (struct restart_block), so this has to be asked before the task is stopped.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "base/ids.h"

namespace beam::interpose {

struct BlockedCall {
  long number = -1;
  std::array<std::uint64_t, 6> args{};
  // How long the task has slept without waking, in nanoseconds; 0 where the kernel does not say (/proc/PID/sched).
  std::uint64_t asleep_ns = 0;
};

// Asks about many tasks at one moment.
class BlockedCallReader {
 public:
  // Nothing when the task runs, or does not sleep in a system call.
  [[nodiscard]] std::optional<BlockedCall> read(HostPid tid);

 private:
  [[nodiscard]] std::optional<double> processor_clock_ms(int processor);

  // What each processor's scheduler clock is ahead of CLOCK_MONOTONIC.
  std::map<int, std::optional<double>> ahead_ms_;
};

}  // namespace beam::interpose
