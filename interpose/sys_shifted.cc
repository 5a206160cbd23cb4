// Calls that take times of a clock and nothing else that would need translating: trapped in thawed sandboxes alone.
#include <linux/futex.h>
#include <sys/timerfd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

#include "interpose/shifted_clocks.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

constexpr int kUnknownClock = -1;

// The number behind `label` in the first line that has it, from `begin` on: "clockid: 1".
int number_after(const std::string& text, const std::string& label, std::size_t begin = 0) {
  const auto at = text.find(label, begin);
  return at == std::string::npos ? kUnknownClock : std::atoi(text.c_str() + at + label.size());
}

std::string read_of_task(const Task& task, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(task.tid.value()) + "/" + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

#define ABSOLUTE(flag) (TrapWhen{{when_shifted(), is(1, flag, flag)}})

BEAM_SYSCALL_WHEN(timerfd_settime, Strategy::kRewrite, ABSOLUTE(TFD_TIMER_ABSTIME), int fd, int, RemotePtr<itimerspec>,
                  RemotePtr<itimerspec>) {
  const int clock = number_after(read_of_task(call.task(), "fdinfo/" + std::to_string(fd)), "clockid:");
  return with_kernel_time(call, 2, clock_offset(call.shared(), clock), true);
}

BEAM_SYSCALL_WHEN(timer_settime, Strategy::kRewrite, ABSOLUTE(TIMER_ABSTIME), int timer, int, RemotePtr<itimerspec>,
                  RemotePtr<itimerspec>) {
  // proc(5): "ID: 0", some lines, "ClockID: 1", for each timer.
  const std::string timers = "\n" + read_of_task(call.task(), "timers");
  const auto begin = timers.find("\nID: " + std::to_string(timer) + "\n");
  const int clock = begin == std::string::npos ? kUnknownClock : number_after(timers, "ClockID:", begin);
  return with_kernel_time(call, 2, clock_offset(call.shared(), clock), true);
}

BEAM_SYSCALL_WHEN(futex_wait, Strategy::kRewrite, (TrapWhen{{when_shifted(), is_not(4, 0)}}), RemotePtr<std::uint32_t>,
                  std::uint64_t, std::uint64_t, int, RemotePtr<timespec>, int clock) {
  return with_kernel_time(call, 4, clock_offset(call.shared(), clock));
}

BEAM_SYSCALL_WHEN(futex_waitv, Strategy::kRewrite, (TrapWhen{{when_shifted(), is_not(3, 0)}}), RemotePtr<void>, int,
                  int, RemotePtr<timespec>, int clock) {
  return with_kernel_time(call, 3, clock_offset(call.shared(), clock));
}

}  // namespace
}  // namespace beam::interpose
