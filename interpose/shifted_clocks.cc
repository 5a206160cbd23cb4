#include "interpose/shifted_clocks.h"

#include <ctime>
#include <memory>

namespace beam::interpose {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kBootTimeAlarm = 9;

struct DeadlineCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

timespec shifted(const timespec& time, std::int64_t by) {
  timespec result{time.tv_sec + by / kSecond, time.tv_nsec + by % kSecond};
  if (result.tv_nsec < 0) {
    result.tv_nsec += kSecond;
    --result.tv_sec;
  } else if (result.tv_nsec >= kSecond) {
    result.tv_nsec -= kSecond;
    ++result.tv_sec;
  }
  return result;
}

struct ClockReading : CallInProgress {
  ClockReading(std::uint64_t where, std::int64_t by) : address(where), offset(by) {}
  void at_exit(ExitCall& call) override {
    timespec time{};
    if (call.result() == 0 && call.memory().read(address, &time, sizeof time) == 0) {
      time = shifted(time, offset);
      (void)call.memory().write(address, &time, sizeof time);
    }
  }
  std::uint64_t address;
  std::int64_t offset;
};

}  // namespace

std::int64_t clock_offset(const Shared& shared, int clock) {
  switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
      return shared.clock_offsets.monotonic_ns;
    case CLOCK_BOOTTIME:
    case kBootTimeAlarm:
      return shared.clock_offsets.boottime_ns;
    default:
      return 0;
  }
}

Rewrite with_kernel_time(RewriteCall& call, std::size_t arg, std::int64_t offset, bool interval) {
  const user_regs_struct* regs = call.tracee().regs();
  if (offset == 0 || regs == nullptr) {
    return Rewrite::pass();
  }
  const std::uint64_t address = raw_args(*regs)[arg];
  itimerspec times{};
  const std::size_t size = interval ? sizeof times : sizeof times.it_value;
  timespec time{};
  if (call.memory().read(address, interval ? static_cast<void*>(&times) : &time, size) != 0) {
    return Rewrite::pass();  // EFAULT is the kernel's to say
  }
  time = interval ? times.it_value : time;
  const bool off = interval && time.tv_sec == 0 && time.tv_nsec == 0;
  if (off || time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= kSecond) {
    return Rewrite::pass();
  }
  // One before the kernel's clock began is over, and no time is negative; 0 would disarm a timer.
  time = shifted(time, -offset);
  if (time.tv_sec < 0) {
    time = {0, 1};
  }
  times.it_value = time;
  const void* bytes = interval ? static_cast<const void*>(&times) : &time;
  // Not in a slot of the agent's: the call may wait for long, in any number of threads, while the kernel reads this at
  // once. Below the red zone of its own stack (x86-64 ABI) a thread has nothing; a sibling that wrote there would
  // change no more than a time.
  constexpr std::uint64_t kBelow = 256;
  auto progress = std::make_unique<DeadlineCall>();
  std::uint64_t place = (regs->rsp - kBelow) & ~std::uint64_t{15};
  if (call.memory().write(place, bytes, size) != 0) {
    place = call.put(*progress, bytes, size);
    if (place == 0) {
      return Rewrite::error(ENOMEM);
    }
  }
  call.set_arg(*progress, arg, place);
  return Rewrite::until_exit(std::move(progress));
}

Rewrite with_sandbox_result(std::uint64_t address, std::int64_t offset) {
  return offset == 0 ? Rewrite::pass() : Rewrite::until_exit(std::make_unique<ClockReading>(address, offset));
}

}  // namespace beam::interpose
