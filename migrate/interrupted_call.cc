#include "migrate/interrupted_call.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>

namespace beam::migrate {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kRestartBlock = -516;  // ERESTART_RESTARTBLOCK

std::uint64_t argument(const user_regs_struct& regs, int index) {
  switch (index) {
    case 0: return regs.rdi;
    case 1: return regs.rsi;
    case 2: return regs.rdx;
    case 3: return regs.r10;
    case 4: return regs.r8;
    default: return regs.r9;
  }
}

}  // namespace

std::optional<RelativeTimeout> relative_timeout(const user_regs_struct& regs) {
  switch (static_cast<long>(regs.orig_rax)) {
    case SYS_nanosleep: return RelativeTimeout{0, true};
    case SYS_clock_nanosleep:
      return (regs.rsi & TIMER_ABSTIME) != 0 ? std::nullopt : std::optional(RelativeTimeout{2, true});
    case SYS_poll: return RelativeTimeout{2, false};
    case SYS_epoll_wait:
    case SYS_epoll_pwait: return RelativeTimeout{3, false};
    case SYS_epoll_pwait2:
    case SYS_semtimedop: return RelativeTimeout{3, true};
    case SYS_rt_sigtimedwait: return RelativeTimeout{2, true};
    case SYS_io_getevents:
    case SYS_io_pgetevents: return RelativeTimeout{4, true};
    case SYS_futex:
      // Of futex's operations only FUTEX_WAIT counts from now; the others wait until a time.
      return (regs.rsi & FUTEX_CMD_MASK) == FUTEX_WAIT ? std::optional(RelativeTimeout{3, true}) : std::nullopt;
    default: return std::nullopt;
  }
}

std::optional<InterruptedCall> interrupted_call(const user_regs_struct& regs, const interpose::GuestMemory& memory,
                                                const interpose::BlockedCall* blocked) {
  const auto result = static_cast<std::int64_t>(regs.rax);
  const auto number = static_cast<std::int64_t>(regs.orig_rax);
  if (number < 0 || !((result <= -512 && result >= -514) || result == kRestartBlock)) {
    return std::nullopt;
  }
  InterruptedCall call;
  call.number = number;
  const auto timeout = relative_timeout(regs);
  if (!timeout) {
    return call;
  }
  const std::uint64_t value = argument(regs, timeout->arg);
  std::int64_t whole = 0;
  if (timeout->in_memory) {
    timespec time{};
    if (value == 0 || memory.read(value, &time, sizeof time) != 0 || time.tv_sec < 0 || time.tv_sec > INT64_MAX / kSecond - 1) {
      return call;
    }
    whole = time.tv_sec * kSecond + time.tv_nsec;
  } else {
    const auto milliseconds = static_cast<std::int32_t>(value);
    if (milliseconds < 0) {
      return call;
    }
    whole = milliseconds * 1'000'000LL;
  }
  // A sleep's remaining time is written where the program asked for it (nanosleep(2)).
  const std::uint64_t rest = number == SYS_nanosleep ? regs.rsi : number == SYS_clock_nanosleep ? regs.r10 : 0;
  timespec left{};
  if (rest != 0 && memory.read(rest, &left, sizeof left) == 0) {
    call.remaining_ns = left.tv_sec * kSecond + left.tv_nsec;
  } else {
    const bool known = blocked != nullptr && blocked->number == number;
    const auto asleep = known ? static_cast<std::int64_t>(std::min<std::uint64_t>(blocked->asleep_ns, INT64_MAX)) : 0;
    call.remaining_ns = std::max<std::int64_t>(whole - asleep, 0);
  }
  return call;
}

}  // namespace beam::migrate
