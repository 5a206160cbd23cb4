#include "migrate/interrupted_call.h"

#include <sys/syscall.h>

#include <algorithm>

#include "interpose/timed_call.h"

namespace beam::migrate {

std::optional<InterruptedCall> interrupted_call(const user_regs_struct& regs, const interpose::Task& task,
                                                std::int64_t now_ns) {
  const auto result = static_cast<std::int64_t>(regs.rax);
  const auto number = static_cast<long>(regs.orig_rax);
  if (number < 0 || !interpose::will_restart(result)) {
    return std::nullopt;
  }
  InterruptedCall call;
  call.number = number;
  auto deadline = task.timed_restart;
  if (result == interpose::kRestartBlock) {
    call.number = number == SYS_restart_syscall ? task.restarting.number : number;
    deadline = task.restarting.deadline_ns;
  }
  if (deadline) {
    call.remaining_ns = std::max<std::int64_t>(*deadline - now_ns, 0);
  }
  return call;
}

}  // namespace beam::migrate
