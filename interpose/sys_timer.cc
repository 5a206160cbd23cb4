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

BEAM_SYSCALL(timer_create, Strategy::kRewrite, int clock, RemotePtr<sigevent> event, RemotePtr<void> id) {
  (void)id;
  auto progress = std::make_unique<TimerCreate>();
  const auto host_of_clock = host_clock(call.shared(), clock);
  if (!host_of_clock) {
    return Rewrite::error(EINVAL);
  }
  if (*host_of_clock != clock) {
    call.set_arg(*progress, 0, static_cast<std::uint64_t>(static_cast<std::int64_t>(*host_of_clock)));
  }
  sigevent copy{};
  if (event && call.memory().read(event, copy) == 0 && (copy.sigev_notify & SIGEV_THREAD_ID) != 0) {
    // The kernel's field stands where glibc has _sigev_un._tid.
    const HostPid thread = call.shared().pids.to_host(VirtualPid(copy._sigev_un._tid));
    if (thread == HostPid()) {
      return Rewrite::error(EINVAL);
    }
    copy._sigev_un._tid = thread.value();
    const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
    if (place == 0) {
      return Rewrite::error(EAGAIN);
    }
    call.set_arg(*progress, 1, place);
  } else if (*host_of_clock == clock) {
    return Rewrite::pass();
  }
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
