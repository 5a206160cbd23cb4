// CPU-time clocks of other processes and threads: their ids hold a pid (clock_getcpuclockid(3), linux/posix-timers.h).
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "interpose/agent.h"
#include "interpose/cpu_clock.h"
#include "interpose/shared.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"
#include "interpose/timed_call.h"

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

std::optional<int> host_clock(const Shared& shared, int clock) {
  const int pid = named_by(clock);
  if (pid == 0) {
    return clock;
  }
  const HostPid host = shared.pids.to_host(VirtualPid(pid));
  return host == HostPid() ? std::nullopt : std::optional(renamed(clock, host.value()));
}

int virtual_clock(const Shared& shared, int clock) {
  const int pid = named_by(clock);
  return pid == 0 ? clock : renamed(clock, shared.pids.to_virtual(HostPid(pid)).value());
}

std::int64_t clock_offset(const Shared& shared, int clock) {
  switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
      return shared.clock_offsets.monotonic_ns;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      return shared.clock_offsets.boottime_ns;
    default:
      return 0;
  }
}

timespec on_host_clock(const timespec& time, std::int64_t offset_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  constexpr std::int64_t kLatest = INT64_MAX / kSecond / 2;  // later is for ever either way
  if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= kSecond || time.tv_sec > kLatest ||
      (time.tv_sec == 0 && time.tv_nsec == 0)) {
    return time;  // an all-zero time disarms a timer
  }
  const std::int64_t there = time.tv_sec * kSecond + time.tv_nsec - offset_ns;
  // Before the workstation's clock began: past, and so is this.
  const std::int64_t moved = there <= 0 ? 1 : there;
  return {moved / kSecond, moved % kSecond};
}

namespace {

constexpr std::uint64_t kNegative = 0x80000000;
#define NAMES_A_PID (TrapWhen{{is_not(0, 0, kNegative)}})
#define SHIFTED_CLOCK \
  (one_of(0, {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM}))

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

struct ClockRead : CallInProgress {
  std::uint64_t time_at = 0;
  std::int64_t offset = 0;
  void at_exit(ExitCall& call) override {
    timespec time{};
    if (call.result() != 0 || call.memory().read(time_at, &time, sizeof time) != 0) {
      return;
    }
    time = on_host_clock(time, -offset);
    (void)call.memory().write(time_at, &time, sizeof time);
  }
};

// By a call of the program's own: Beam's vDSO adds the offset itself, also to what the kernel's one has to ask the
// kernel.
BEAM_SYSCALL_SHIFTED(clock_gettime, Strategy::kRewrite, NAMES_A_PID, SHIFTED_CLOCK, int clock,
                     RemotePtr<timespec> time) {
  const std::int64_t offset = clock_offset(call.shared(), clock);
  const user_regs_struct* regs = call.tracee().regs();
  const std::uint64_t vdso = call.task().process->space->kernel_vdso;
  if (offset == 0 || regs == nullptr || (regs->rip >= vdso && regs->rip < vdso + kernel_vdso_size())) {
    return with_clock(call, clock);
  }
  auto progress = std::make_unique<ClockRead>();
  progress->time_at = time.address();
  progress->offset = offset;
  return Rewrite::until_exit(std::move(progress));
}
BEAM_SYSCALL_WHEN(clock_getres, Strategy::kRewrite, NAMES_A_PID, int clock, RemotePtr<timespec>) {
  return with_clock(call, clock);
}

// Points argument `index` at a copy of the T there, changed by `change`. Nothing for one that can't be read: the kernel
// says so.
template <typename T, typename Change>
Rewrite with_changed(RewriteCall& call, std::size_t index, std::uint64_t address, Change change) {
  T value{};
  if (address == 0 || call.memory().read(address, &value, sizeof value) != 0) {
    return Rewrite::pass();
  }
  change(value);
  auto progress = std::make_unique<ClockCall>();
  const std::uint64_t place = put_time(call, *progress, &value, sizeof value);
  if (place == 0) {
    return Rewrite::error(EAGAIN);
  }
  call.set_arg(*progress, index, place);
  return Rewrite::until_exit(std::move(progress));
}

Rewrite with_deadline(RewriteCall& call, std::size_t index, std::uint64_t address, int clock) {
  const std::int64_t offset = clock_offset(call.shared(), clock);
  if (offset == 0) {
    return Rewrite::pass();
  }
  return with_changed<timespec>(call, index, address, [offset](timespec& time) { time = on_host_clock(time, offset); });
}

BEAM_SYSCALL_SHIFTED(clock_nanosleep, Strategy::kRewrite, NAMES_A_PID,
                     (TrapWhen{{is(1, TIMER_ABSTIME, TIMER_ABSTIME)}}), int clock, int flags, RemotePtr<timespec> time,
                     RemotePtr<timespec>) {
  return clock >= 0 && (flags & TIMER_ABSTIME) != 0 ? with_deadline(call, 2, time.address(), clock)
                                                    : with_clock(call, clock);
}

BEAM_SYSCALL_SHIFTED(futex_wait, Strategy::kRewrite, TrapWhen{}, (TrapWhen{{is(5, CLOCK_MONOTONIC)}}), RemotePtr<void>,
                     std::uint64_t, std::uint64_t, unsigned, RemotePtr<timespec> time, int clock) {
  return with_deadline(call, 4, time.address(), clock);
}
BEAM_SYSCALL_SHIFTED(futex_waitv, Strategy::kRewrite, TrapWhen{}, (TrapWhen{{is(4, CLOCK_MONOTONIC)}}), RemotePtr<void>,
                     unsigned, unsigned, RemotePtr<timespec> time, int clock) {
  return with_deadline(call, 3, time.address(), clock);
}

// A line `name: value` of a text of /proc that begins behind `start`.
std::optional<int> value_after(const std::string& text, std::string_view start, std::string_view name) {
  const auto from = text.find(start);
  const auto at = from == std::string::npos ? from : text.find(name, from);
  return at == std::string::npos ? std::nullopt : std::optional(std::atoi(text.c_str() + at + name.size()));
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

Rewrite with_timer(RewriteCall& call, std::size_t index, std::uint64_t address, std::optional<int> clock) {
  const std::int64_t offset = clock ? clock_offset(call.shared(), *clock) : 0;
  if (offset == 0) {
    return Rewrite::pass();
  }
  return with_changed<itimerspec>(call, index, address,
                                  [offset](itimerspec& time) { time.it_value = on_host_clock(time.it_value, offset); });
}

BEAM_SYSCALL_SHIFTED(timerfd_settime, Strategy::kRewrite, TrapWhen{}, (TrapWhen{{is(1, TIMER_ABSTIME, TIMER_ABSTIME)}}),
                     GuestFd fd, int, RemotePtr<itimerspec> time, RemotePtr<itimerspec>) {
  const std::string task = "/proc/" + std::to_string(call.task().tid.value());
  const std::string info = read_text(task + "/fdinfo/" + std::to_string(fd.value()));
  return with_timer(call, 2, time.address(), value_after(info, "", "clockid:"));
}
BEAM_SYSCALL_SHIFTED(timer_settime, Strategy::kRewrite, TrapWhen{}, (TrapWhen{{is(1, TIMER_ABSTIME, TIMER_ABSTIME)}}),
                     int timer, int, RemotePtr<itimerspec> time, RemotePtr<itimerspec>) {
  const std::string list = read_text("/proc/" + std::to_string(call.task().process->host.value()) + "/timers");
  return with_timer(call, 2, time.address(), value_after(list, "ID: " + std::to_string(timer) + "\n", "ClockID:"));
}

}  // namespace
}  // namespace beam::interpose
