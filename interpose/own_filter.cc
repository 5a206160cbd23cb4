#include "interpose/own_filter.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "interpose/agent/layout.h"
#include "interpose/shared.h"

namespace beam::interpose {
namespace {

constexpr std::uint32_t kAsIfUntraced = SECCOMP_RET_ERRNO | ENOSYS;  // kernel/seccomp.c, SECCOMP_RET_TRACE without a tracer
// Tells the SIGSYS of strict mode's filter, which is the task's only own one, at its delivery.
constexpr std::uint32_t kStrictData = 0x5354;

// Lets calls from the agent's page pass and leaves the accumulator as the program's own first instruction expects it.
std::vector<sock_filter> agent_prefix() {
  return {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer) + 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_BASE, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_END, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_IMM, 0),
  };
}

std::vector<sock_filter> strict_filter() {
  constexpr std::uint32_t kAllowed[] = {SYS_read, SYS_write, SYS_exit, SYS_rt_sigreturn};  // seccomp(2)
  std::vector<sock_filter> code = agent_prefix();
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const std::uint32_t number : kAllowed) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  // Every other action is outranked by a notification or by an errno of Beam's own filter, or ends the task by SIGSYS.
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | kStrictData));
  return code;
}

struct Installing : CallInProgress {
  int mode = SECCOMP_MODE_FILTER;
  bool may_name_a_thread = false;
  void at_exit(ExitCall& call) override {
    const std::int64_t result = call.result();
    if (result > 0 && may_name_a_thread) {
      // SECCOMP_FILTER_FLAG_TSYNC: the thread that could not be brought in line.
      call.set_result(call.shared().pids.to_virtual(HostPid(static_cast<pid_t>(result))).value());
    } else if (result >= 0) {
      Process& process = *call.task().process;
      process.own_seccomp_mode = mode;
      ++process.own_seccomp_filters;
    }
  }
};

// Points the call's third argument at a copy of `code`. False when there is no room for it.
bool put_program(RewriteCall& call, CallInProgress& progress, const std::vector<sock_filter>& code) {
  std::vector<char> block(sizeof(sock_fprog) + code.size() * sizeof(sock_filter));
  const std::uint64_t place = call.put(progress, block.data(), block.size());
  if (place == 0) {
    return false;
  }
  sock_fprog header{};
  header.len = static_cast<unsigned short>(code.size());
  header.filter = reinterpret_cast<sock_filter*>(place + sizeof header);
  std::memcpy(block.data(), &header, sizeof header);
  std::memcpy(block.data() + sizeof header, code.data(), code.size() * sizeof(sock_filter));
  if (call.memory().write_forced(place, block.data(), block.size()) != 0) {
    return false;
  }
  call.set_arg(progress, 2, place);
  return true;
}

}  // namespace

std::vector<sock_filter> wrap_own_filter(const std::vector<sock_filter>& program) {
  std::vector<sock_filter> code = agent_prefix();
  const std::size_t start = code.size();
  code.insert(code.end(), program.begin(), program.end());
  bool computed = false;
  for (std::size_t i = start; i < code.size(); ++i) {
    sock_filter& instruction = code[i];
    if (instruction.code == (BPF_RET | BPF_K) && (instruction.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE) {
      instruction.k = kAsIfUntraced;
    } else if (instruction.code == (BPF_RET | BPF_A)) {
      // The action is only known then: to the end, where it is looked at.
      instruction = BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(start + program.size() - i - 1));
      computed = true;
    }
  }
  if (computed) {
    code.push_back(BPF_STMT(BPF_MISC | BPF_TAX, 0));
    code.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SECCOMP_RET_ACTION_FULL));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_RET_TRACE, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, kAsIfUntraced));
    code.push_back(BPF_STMT(BPF_MISC | BPF_TXA, 0));
    code.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  }
  if (code.size() > BPF_MAXINSNS) {
    code.clear();
  }
  return code;
}

Rewrite set_own_filter(RewriteCall& call, std::uint64_t program, bool may_name_a_thread) {
  sock_fprog header{};
  if (call.memory().read(program, &header, sizeof header) != 0 || header.len == 0 || header.len > BPF_MAXINSNS) {
    return Rewrite::pass();  // the kernel refuses it by its own rules
  }
  std::vector<sock_filter> own(header.len);
  if (call.memory().read(reinterpret_cast<std::uint64_t>(header.filter), own.data(), own.size() * sizeof(sock_filter)) !=
      0) {
    return Rewrite::pass();
  }
  const std::vector<sock_filter> code = wrap_own_filter(own);
  if (code.empty()) {
    return Rewrite::error(ENOMEM);  // as the kernel, when all filters of a task grow too long
  }
  auto progress = std::make_unique<Installing>();
  progress->may_name_a_thread = may_name_a_thread;
  if (!put_program(call, *progress, code)) {
    return Rewrite::error(ENOMEM);
  }
  return Rewrite::until_exit(std::move(progress));
}

Rewrite set_own_strict_mode(RewriteCall& call, std::size_t mode_arg, std::uint64_t mode) {
  if (call.task().process->own_seccomp_mode == SECCOMP_MODE_FILTER) {
    return Rewrite::error(EINVAL);
  }
  auto progress = std::make_unique<Installing>();
  progress->mode = SECCOMP_MODE_STRICT;
  if (!put_program(call, *progress, strict_filter())) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, mode_arg, mode);
  return Rewrite::until_exit(std::move(progress));
}

bool broke_strict_mode(const Task& task, const siginfo_t& info) {
  constexpr int kSysSeccomp = 1;  // SYS_SECCOMP of asm-generic/siginfo.h
  return task.process->own_seccomp_mode == SECCOMP_MODE_STRICT && info.si_signo == SIGSYS &&
         info.si_code == kSysSeccomp && info.si_errno == static_cast<int>(kStrictData);
}

int end_in_strict_mode(const Task& task, StoppedTracee& tracee) {
  user_regs_struct* regs = tracee.regs();
  if (task.process->threads == 1 || regs == nullptr) {
    return SIGKILL;
  }
  // Strict mode ends the one task and not its group. Nobody sees the status of a thread.
  regs->rip = BEAM_AGENT_GADGET;
  regs->rax = SYS_exit;
  regs->rdi = SIGKILL;
  regs->orig_rax = ~0ULL;
  tracee.set_regs_changed();
  return 0;
}

}  // namespace beam::interpose
