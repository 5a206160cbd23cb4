#include "interpose/message_traps.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <unordered_map>

#include "base/log.h"
#include "interpose/agent/layout.h"
#include "interpose/quiesce.h"
#include "interpose/stacked_filter.h"

namespace beam::interpose {

std::vector<sock_filter> message_filter(unsigned traps) {
  std::vector<sock_filter> code;
  std::vector<std::uint32_t> calls;
  if ((traps & kTrapSends) != 0) {
    calls.insert(calls.end(), {SYS_sendmsg, SYS_sendmmsg});
  }
  if ((traps & kTrapReceives) != 0) {
    calls.insert(calls.end(), {SYS_recvmsg, SYS_recvmmsg});
  }
  const auto high = static_cast<std::uint32_t>(offsetof(seccomp_data, instruction_pointer) + 4);
  const auto low = static_cast<std::uint32_t>(offsetof(seccomp_data, instruction_pointer));
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    // Over the remaining numbers and the verdict that none matched.
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], static_cast<std::uint8_t>(calls.size() - i), 0));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  // Beam's own calls, by the agent, pass here as they do in the filter below.
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, high));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4));
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_BASE, 0, 2));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_REPORT, 1, 0));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  return code;
}

void trap_all_receives(Tracer& tracer) {
  Shared& shared = tracer.shared();
  if ((shared.message_traps & kTrapReceives) != 0) {
    return;
  }
  // From here on for new processes too. Who can't be stopped has no filter, and gets one when it asks for credentials
  // itself.
  shared.message_traps |= kTrapReceives;
  const auto quiesced = QuiescedSandbox::begin(tracer, std::chrono::seconds(2));
  if (!quiesced.ok()) {
    BEAM_LOG_WARN(kInterpose, "messages with credentials may show host ids in some processes: {}",
                  quiesced.error().message());
    return;
  }
  const auto code = message_filter(kTrapReceives);
  std::unordered_map<const Process*, StackOn> how;
  for (Task* task : (*quiesced)->tasks()) {
    Process& process = *task->process;
    StoppedTracee tracee(task->tid);
    const auto known = how.find(&process);
    if (known == how.end()) {
      const bool whole = stack_filter(*task, tracee, code, StackOn::kProcess);
      how[&process] = whole ? StackOn::kProcess : StackOn::kThread;
      if (!whole) {
        stack_filter(*task, tracee, code, StackOn::kThread);
      }
    } else if (known->second == StackOn::kThread) {
      stack_filter(*task, tracee, code, StackOn::kThread);
    }
    tracee.flush_regs();
    process.message_traps |= kTrapReceives;
  }
}

}  // namespace beam::interpose
