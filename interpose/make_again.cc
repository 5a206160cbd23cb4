#include "interpose/make_again.h"

namespace beam::interpose {

void make_again(ExitCall& call, long number) {
  user_regs_struct* regs = call.tracee().regs();
  if (regs == nullptr) {
    return;
  }
  constexpr std::uint64_t kSyscallInstruction = 2;  // bytes
  regs->rip -= kSyscallInstruction;
  regs->rax = static_cast<std::uint64_t>(number);
  regs->orig_rax = ~0ULL;
  call.tracee().set_regs_changed();
}

void skip_to_exit(RewriteCall& call) {
  if (user_regs_struct* regs = call.tracee().regs()) {
    regs->orig_rax = ~0ULL;
    call.tracee().set_regs_changed();
    call.task().escalated.store(-1, std::memory_order_release);
  }
}

}  // namespace beam::interpose
