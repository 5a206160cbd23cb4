// CPU-time clocks of other processes and threads: their ids hold a pid (clock_getcpuclockid(3), linux/posix-timers.h).
#include <cerrno>
#include <ctime>

#include "interpose/cpu_clock.h"
#include "interpose/filter.h"
#include "interpose/shared.h"
#include "interpose/shifted_clocks.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {

namespace {

constexpr int kTypeBits = 3;
constexpr int kTypeMask = 7;

// The process or thread whose CPU time a clock is; 0: none but the caller itself.
int named_by(int clock) {
  constexpr int kDescriptor = 3;  // CLOCKFD: a device's clock
  return clock >= 0 || (clock & kTypeMask) == kDescriptor ? 0 : ~(clock >> kTypeBits);
}

int renamed(int clock, int pid) {
  return static_cast<int>(~static_cast<unsigned>(pid) << kTypeBits | static_cast<unsigned>(clock & kTypeMask));
}

}  // namespace

int host_clock(const Shared& shared, int clock) {
  const int pid = named_by(clock);
  if (pid == 0) {
    return clock;
  }
  constexpr pid_t kNobody = 0x0fffffff;  // beyond every pid, and still in the bits that a clock's id has for it
  const HostPid host = shared.pids.to_host(VirtualPid(pid));
  return renamed(clock, host == HostPid() ? kNobody : host.value());
}

int virtual_clock(const Shared& shared, int clock) {
  const int pid = named_by(clock);
  return pid == 0 ? clock : renamed(clock, shared.pids.to_virtual(HostPid(pid)).value());
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

// CLOCK_MONOTONIC 1, its RAW 4 and COARSE 6, CLOCK_BOOTTIME 7: as Beam's vDSO answers for them.
BEAM_SYSCALL_WHEN(clock_gettime, Strategy::kRewrite,
                  (TrapWhen{{is_not(0, 0, kNegative)},
                            {when_shifted(), is(0, 1)},
                            {when_shifted(), is(0, 4)},
                            {when_shifted(), is(0, 6)},
                            {when_shifted(), is(0, 7)}}),
                  ClockName clock, OutPtr<timespec> time) {
  const std::int64_t offset = clock_offset(call.shared(), clock.value);
  return offset != 0 ? with_sandbox_result(time.address(), offset) : with_clock(call, clock.value);
}
// The workstation's administration. Whom the kernel refuses anyway is told so by it, what is wrong first.
BEAM_SYSCALL_DECLARE_(clock_settime, Strategy::kRewrite, TrapWhen{}, Support::kRefused,
                      "the workstation's administration", ClockName clock, RemotePtr<timespec>) {
  return may_have_capabilities() ? Rewrite::error(EPERM) : with_clock(call, clock.value);
}
BEAM_SYSCALL_WHEN(clock_getres, Strategy::kRewrite, NAMES_A_PID, ClockName clock, OutPtr<timespec>) {
  return with_clock(call, clock.value);
}
BEAM_SYSCALL_WHEN(clock_nanosleep, Strategy::kRewrite,
                  (TrapWhen{{is_not(0, 0, kNegative)}, {when_shifted(), is(1, TIMER_ABSTIME, TIMER_ABSTIME)}}),
                  ClockName clock, int flags, RemotePtr<timespec>, RemotePtr<timespec>) {
  const std::int64_t offset = (flags & TIMER_ABSTIME) != 0 ? clock_offset(call.shared(), clock.value) : 0;
  return offset != 0 ? with_kernel_time(call, 2, offset) : with_clock(call, clock.value);
}

}  // namespace
}  // namespace beam::interpose
