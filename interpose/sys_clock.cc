// CPU-time clocks of other processes and threads: their ids hold a pid (clock_getcpuclockid(3), linux/posix-timers.h).
#include <cerrno>
#include <ctime>

#include "interpose/cpu_clock.h"
#include "interpose/filter.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {

int host_clock(const Shared& shared, int clock) {
  constexpr int kTypeBits = 3;
  constexpr int kTypeMask = 7;
  constexpr int kDescriptor = 3;  // CLOCKFD: a device's clock
  const int pid = ~(clock >> kTypeBits);
  if (clock >= 0 || (clock & kTypeMask) == kDescriptor || pid == 0) {
    return clock;
  }
  constexpr pid_t kNobody = 0x0fffffff;  // beyond every pid, and still in the bits that a clock's id has for it
  const HostPid host = shared.pids.to_host(VirtualPid(pid));
  const auto named = static_cast<unsigned>(host == HostPid() ? kNobody : host.value());
  return static_cast<int>(~named << kTypeBits | static_cast<unsigned>(clock & kTypeMask));
}

namespace {

constexpr std::uint64_t kNegative = 0x80000000;
#define NAMES_A_PID (TrapWhen{{is_not(0, 0, kNegative)}})

struct ClockCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

Rewrite with_clock(RewriteCall& call, int clock) {
  const int host = host_clock(call.shared(), clock);
  if (host == clock) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<ClockCall>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(static_cast<std::int64_t>(host)));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL_WHEN(clock_gettime, Strategy::kRewrite, NAMES_A_PID, ClockName clock, OutPtr<timespec>) {
  return with_clock(call, clock.value);
}
// The workstation's administration. Whom the kernel refuses anyway is told so by it, what is wrong first.
BEAM_SYSCALL_DECLARE_(clock_settime, Strategy::kRewrite, TrapWhen{}, Support::kRefused,
                      "the workstation's administration", ClockName clock, RemotePtr<timespec>) {
  return may_have_capabilities() ? Rewrite::error(EPERM) : with_clock(call, clock.value);
}
BEAM_SYSCALL_WHEN(clock_getres, Strategy::kRewrite, NAMES_A_PID, ClockName clock, OutPtr<timespec>) {
  return with_clock(call, clock.value);
}
BEAM_SYSCALL_WHEN(clock_nanosleep, Strategy::kRewrite, NAMES_A_PID, ClockName clock, int, RemotePtr<timespec>,
                  RemotePtr<timespec>) {
  return with_clock(call, clock.value);
}

}  // namespace
}  // namespace beam::interpose
