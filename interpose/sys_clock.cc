// CPU-time clocks of other processes and threads: their ids hold a pid (clock_getcpuclockid(3), linux/posix-timers.h).
#include <cerrno>
#include <ctime>

#include "interpose/cpu_clock.h"
#include "interpose/shared.h"
#include "interpose/shifted_clocks.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {

std::optional<int> host_clock(const Shared& shared, int clock) {
  constexpr int kTypeBits = 3;
  constexpr int kTypeMask = 7;
  constexpr int kDescriptor = 3;  // CLOCKFD: a device's clock
  const int pid = ~(clock >> kTypeBits);
  if (clock >= 0 || (clock & kTypeMask) == kDescriptor || pid == 0) {
    return clock;
  }
  const HostPid host = shared.pids.to_host(VirtualPid(pid));
  if (host == HostPid()) {
    return std::nullopt;
  }
  return static_cast<int>(~static_cast<unsigned>(host.value()) << kTypeBits | static_cast<unsigned>(clock & kTypeMask));
}

namespace {

constexpr std::uint64_t kNegative = 0x80000000;
#define NAMES_A_PID (TrapWhen{{is_not(0, 0, kNegative)}})

struct ClockCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

Rewrite with_clock(RewriteCall& call, int clock) {
  const auto host = host_clock(call.shared(), clock);
  if (!host) {
    return Rewrite::error(EINVAL);
  }
  if (*host == clock) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<ClockCall>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(static_cast<std::int64_t>(*host)));
  return Rewrite::until_exit(std::move(progress));
}

// CLOCK_MONOTONIC 1, its RAW 4 and COARSE 6, CLOCK_BOOTTIME 7: as Beam's vDSO answers for them.
BEAM_SYSCALL_WHEN(clock_gettime, Strategy::kRewrite,
                  (TrapWhen{{is_not(0, 0, kNegative)},
                            {when_shifted(), is(0, 1)},
                            {when_shifted(), is(0, 4)},
                            {when_shifted(), is(0, 6)},
                            {when_shifted(), is(0, 7)}}),
                  int clock, RemotePtr<timespec> time) {
  const std::int64_t offset = clock_offset(call.shared(), clock);
  return offset != 0 ? with_sandbox_result(time.address(), offset) : with_clock(call, clock);
}
BEAM_SYSCALL_WHEN(clock_getres, Strategy::kRewrite, NAMES_A_PID, int clock, RemotePtr<timespec>) {
  return with_clock(call, clock);
}
BEAM_SYSCALL_WHEN(clock_nanosleep, Strategy::kRewrite,
                  (TrapWhen{{is_not(0, 0, kNegative)}, {when_shifted(), is(1, TIMER_ABSTIME, TIMER_ABSTIME)}}),
                  int clock, int flags, RemotePtr<timespec>, RemotePtr<timespec>) {
  const std::int64_t offset = (flags & TIMER_ABSTIME) != 0 ? clock_offset(call.shared(), clock) : 0;
  return offset != 0 ? with_kernel_time(call, 2, offset) : with_clock(call, clock);
}

}  // namespace
}  // namespace beam::interpose
