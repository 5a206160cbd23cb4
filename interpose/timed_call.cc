#include "interpose/timed_call.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "interpose/tracer.h"

namespace beam::interpose {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMillisecond = 1'000'000;

std::uint64_t argument(const user_regs_struct& regs, int index) {
  return raw_args(regs)[static_cast<std::size_t>(index)];
}

// The whole of a call's timeout in nanoseconds; nothing for one that waits for ever or can't be read.
std::optional<std::int64_t> timeout_ns(const RelativeTimeout& timeout, const user_regs_struct& regs,
                                       const GuestMemory& memory) {
  const std::uint64_t value = argument(regs, timeout.arg);
  if (!timeout.in_memory) {
    const auto milliseconds = static_cast<std::int32_t>(value);
    return milliseconds < 0 ? std::nullopt : std::optional(milliseconds * kMillisecond);
  }
  timespec time{};
  if (value == 0 || memory.read(value, &time, sizeof time) != 0 || time.tv_sec < 0 ||
      time.tv_sec > INT64_MAX / kSecond / 2) {
    return std::nullopt;
  }
  return time.tv_sec * kSecond + time.tv_nsec;
}

// Where a sleep's remaining time is written when it is interrupted (nanosleep(2)); 0: nowhere.
std::uint64_t rest_of_sleep(long number, const user_regs_struct& regs) {
  return number == SYS_nanosleep ? regs.rsi : number == SYS_clock_nanosleep ? regs.r10 : 0;
}

}  // namespace

bool shows_stop_as_eintr(long number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
    case SYS_io_pgetevents:
    // With SO_RCVTIMEO or SO_SNDTIMEO set (socket(7)).
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev:
    // With a timeout in memory that can't be written (fs/select.c poll_select_finish).
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_select:
      return true;
    default:
      return false;
  }
}

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

std::optional<RelativeTimeout> relative_timeout(long number, const user_regs_struct& regs) {
  switch (number) {
    case SYS_nanosleep:
      return RelativeTimeout{0, true};
    case SYS_clock_nanosleep:
      return (regs.rsi & TIMER_ABSTIME) != 0 ? std::nullopt : std::optional(RelativeTimeout{2, true});
    case SYS_poll:
      return RelativeTimeout{2, false};
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return RelativeTimeout{3, false};
    case SYS_epoll_pwait2:
    case SYS_semtimedop:
      return RelativeTimeout{3, true};
    case SYS_rt_sigtimedwait:
      return RelativeTimeout{2, true};
    case SYS_io_getevents:
    case SYS_io_pgetevents:
      return RelativeTimeout{4, true};
    case SYS_futex:
      // Of futex's operations only FUTEX_WAIT counts from now; the others wait until a time.
      return (regs.rsi & FUTEX_CMD_MASK) == FUTEX_WAIT ? std::optional(RelativeTimeout{3, true}) : std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<std::int64_t> deadline_of(long number, const user_regs_struct& regs, const GuestMemory& memory,
                                        const BlockedCall* blocked) {
  const auto timeout = relative_timeout(number, regs);
  const auto whole = timeout ? timeout_ns(*timeout, regs, memory) : std::nullopt;
  if (!whole) {
    return std::nullopt;
  }
  if (number == SYS_clock_nanosleep && static_cast<clockid_t>(regs.rdi) != CLOCK_REALTIME &&
      static_cast<clockid_t>(regs.rdi) != CLOCK_MONOTONIC && static_cast<clockid_t>(regs.rdi) != CLOCK_BOOTTIME) {
    return std::nullopt;  // counts a process's time, which does not pass while it sleeps
  }
  timespec left{};
  const std::uint64_t rest = rest_of_sleep(number, regs);
  if (static_cast<std::int64_t>(regs.rax) == kRestartBlock && rest != 0 && memory.read(rest, &left, sizeof left) == 0) {
    return monotonic_ns() + left.tv_sec * kSecond + left.tv_nsec;
  }
  const bool known = blocked != nullptr && (blocked->number == number || blocked->number == SYS_restart_syscall);
  const auto asleep = known ? static_cast<std::int64_t>(std::min<std::uint64_t>(blocked->asleep_ns, INT64_MAX)) : 0;
  return monotonic_ns() + std::max<std::int64_t>(*whole - asleep, 0);
}

std::uint64_t put_time(RewriteCall& call, CallInProgress& progress, const void* bytes, std::size_t size) {
  constexpr std::uint64_t kRedZone = 128;
  const user_regs_struct* regs = call.tracee().regs();
  if (regs != nullptr) {
    const std::uint64_t place = (regs->rsp - kRedZone - size) & ~std::uint64_t{15};
    if (call.memory().write(place, bytes, size) == 0) {
      return place;
    }
  }
  return call.put(progress, bytes, size);
}

// --- Tracer's part ---

// A timed call ends or is to be made once more: when it times out must not be forgotten in the second case.
void Tracer::keep_deadline(const CallInProgress& call, Task& task, std::int64_t result,
                           const user_regs_struct& regs) const {
  if (!call.deadline_ns) {
    return;
  }
  if (result == kRestartBlock) {
    task.restarting = {call.number, call.deadline_ns};
    task.timed_restart = holding_ ? call.deadline_ns : std::nullopt;
  } else if ((will_restart(result) && relative_timeout(call.number, regs)) || (result == -EINTR && holding_)) {
    // A hold shows as EINTR where no handler has run: quiesce makes it a restart, with what is left now.
    task.timed_restart = call.deadline_ns;
  }
}

// What a call that the kernel goes on with by restart_syscall(2) was, as soon as it is interrupted: the registers show
// it only the first time.
void Tracer::note_restart(Task& task, StoppedTracee& tracee) {
  const user_regs_struct* regs = tracee.regs();
  if (regs != nullptr && static_cast<std::int64_t>(regs->rax) == kRestartBlock &&
      regs->orig_rax != SYS_restart_syscall) {
    task.restarting = {static_cast<long>(regs->orig_rax), std::nullopt};
  }
}

void Tracer::begin_timed_restart(Task& task, StoppedTracee& tracee) {
  const std::int64_t deadline = *std::exchange(task.timed_restart, std::nullopt);
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr || task.call != nullptr) {
    return;
  }
  const auto number = static_cast<long>(regs->orig_rax);
  const auto timeout = relative_timeout(number, *regs);
  if (!timeout || static_cast<std::int64_t>(regs->rax) != kRestartNoHandler) {
    return;
  }
  auto progress = std::make_unique<TimedCall>(deadline);
  progress->number = number;
  RewriteCall call(*this, shared_, task, tracee);
  const std::int64_t left = std::max<std::int64_t>(deadline - monotonic_ns(), 0);
  std::uint64_t value = 0;
  if (timeout->in_memory) {
    const timespec time{left / kSecond, left % kSecond};
    value = put_time(call, *progress, &time, sizeof time);
    if (value == 0) {
      return;
    }
  } else {
    value = static_cast<std::uint64_t>(std::min<std::int64_t>((left + kMillisecond - 1) / kMillisecond, INT_MAX));
  }
  call.set_arg(*progress, static_cast<std::size_t>(timeout->arg), value);
  task.call = std::move(progress);
}

// Before its entry a call can still be as the program made it, with the time left noted beside it.
void Tracer::undo_timed_restart(Task& task, StoppedTracee& tracee) {
  auto* timed = task.call != nullptr && !task.call->entered ? dynamic_cast<TimedCall*>(task.call.get()) : nullptr;
  user_regs_struct* regs = timed != nullptr ? tracee.regs() : nullptr;
  if (regs == nullptr) {
    return;
  }
  for (std::size_t i = 0; i < timed->saved.size(); ++i) {
    if (timed->saved[i]) {
      arg_register(*regs, i) = *timed->saved[i];
    }
  }
  tracee.set_regs_changed();
  tracee.flush_regs();
  release_slots(task, timed->slots);
  task.timed_restart = timed->deadline_ns;
  task.call.reset();
}

}  // namespace beam::interpose
