#include "interpose/reveal.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "interpose/agent.h"
#include "interpose/shared.h"

namespace beam::interpose {
namespace {

constexpr std::uint64_t kSyscallInstructionSize = 2;

struct Reveal : CallInProgress {
  user_regs_struct entry{};

  void at_exit(ExitCall& call) override {
    Process& process = *call.task().process;
    process.revealing = false;
    StoppedTracee& tracee = call.tracee();
    user_regs_struct* regs = tracee.regs();
    if (regs == nullptr) {
      return;
    }
    const bool open = call.result() == 0;
    if (!open) {
      BEAM_LOG_WARN(kInterpose, "process {}: its memory stays closed (prctl: {})", process.vpid.value(),
                    -call.result());
    }
    // Back to before the instruction that made the first call.
    *regs = entry;
    regs->rax = entry.orig_rax;
    regs->orig_rax = ~0ULL;
    regs->rip = entry.rip - kSyscallInstructionSize;
    tracee.set_regs_changed();
    if (open) {
      map_agent_under_way(tracee, *process.space, call.shared().clock_offsets, call.task().filters != nullptr);
    }
  }
};

}  // namespace

std::unique_ptr<CallInProgress> begin_reveal(Task& task, StoppedTracee& tracee) {
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return nullptr;
  }
  auto reveal = std::make_unique<Reveal>();
  reveal->entry = *regs;
  task.process->revealing = true;
  regs->orig_rax = SYS_prctl;
  regs->rax = SYS_prctl;
  regs->rdi = PR_SET_DUMPABLE;
  regs->rsi = 1;
  regs->rdx = regs->r10 = regs->r8 = 0;
  regs->rip = BEAM_AGENT_GADGET + kSyscallInstructionSize;  // no filter of the program's own may refuse it
  tracee.set_regs_changed();
  return reveal;
}

}  // namespace beam::interpose
