// Timers that signal a thread (timer_create(2)).
#include <signal.h>

#include <cerrno>

#include "interpose/cpu_clock.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

struct TimerCreate : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

BEAM_SYSCALL(timer_create, Strategy::kRewrite, ClockName clock, RemotePtr<sigevent> event, OutPtr<int> id) {
  (void)id;
  auto progress = std::make_unique<TimerCreate>();
  const int host_of_clock = host_clock(call.shared(), clock.value);
  if (host_of_clock != clock.value) {
    call.set_arg(*progress, 0, static_cast<std::uint64_t>(static_cast<std::int64_t>(host_of_clock)));
  }
  sigevent copy{};
  if (event && call.memory().read(event, copy) == 0 && (copy.sigev_notify & SIGEV_THREAD_ID) != 0) {
    // The kernel's field stands where glibc has _sigev_un._tid.
    copy._sigev_un._tid = call.shared().host_argument(copy._sigev_un._tid);
    const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
    if (place == 0) {
      return Rewrite::error(EAGAIN);
    }
    call.set_arg(*progress, 1, place);
  } else if (host_of_clock == clock.value) {
    return Rewrite::pass();
  }
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
