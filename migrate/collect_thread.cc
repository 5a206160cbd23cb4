// Threads: registers, and what the kernel keeps for each of them.
#include <elf.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "interpose/signal_info.h"
#include "migrate/collector.h"
#include "migrate/interrupted_call.h"
#include "migrate/kernel_structs.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION static_cast<__ptrace_request>(0x420f)
#endif

namespace beam::migrate {
namespace {

constexpr std::size_t kSiginfoSize = 128;

Result<std::vector<std::uint8_t>> read_extended_state(HostPid tid) {
  std::vector<std::uint8_t> area(64 << 10);  // AMX's tiles take 8 KiB of it
  iovec buffer{area.data(), area.size()};
  if (::ptrace(PTRACE_GETREGSET, tid.value(), NT_X86_XSTATE, &buffer) != 0) {
    return Error::from_errno("read the extended registers");
  }
  area.resize(buffer.iov_len);
  return area;
}

}  // namespace

Result<ThreadState> Collector::thread(Remote& remote) {
  const interpose::Task& task = remote.task();
  const HostPid tid = task.tid;
  ThreadState state;
  state.vtid = task.vtid.value();
  BEAM_TRY_ASSIGN(state.name, read_proc_file(tid, "comm"));
  if (!state.name.empty() && state.name.back() == '\n') {
    state.name.pop_back();
  }
  const user_regs_struct* regs = remote.tracee().regs();
  const auto mask = remote.tracee().signal_mask();
  if (regs == nullptr || !mask) {
    return Error(ESRCH, "thread " + std::to_string(state.vtid));
  }
  state.registers.resize(sizeof *regs / sizeof(std::uint64_t));
  std::memcpy(state.registers.data(), regs, sizeof *regs);
  state.signal_mask = *mask;
  state.call = interrupted_call(*regs, remote.memory(), sandbox_.blocked_call(tid));
  BEAM_TRY_ASSIGN(state.extended, read_extended_state(tid));
  RseqConfiguration rseq{};
  if (::ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid.value(), sizeof rseq, &rseq) > 0 && rseq.address != 0) {
    state.rseq = RestartableSequences{rseq.address, rseq.size, rseq.signature, rseq.flags};
  }
  if (::syscall(SYS_get_robust_list, tid.value(), &state.robust_list, &state.robust_list_size) != 0) {
    return Error::from_errno("read the robust list of thread " + std::to_string(state.vtid));
  }
  BEAM_TRY(remote.call("read the tid address", SYS_prctl, PR_GET_TID_ADDRESS, remote.scratch()));
  BEAM_TRY_ASSIGN(state.clear_tid_address, remote.get<std::uint64_t>());
  BEAM_TRY(remote.call("read the signal stack", SYS_sigaltstack, 0, remote.scratch()));
  BEAM_TRY_ASSIGN(const auto stack, remote.get<stack_t>());
  if ((stack.ss_flags & SS_DISABLE) == 0) {
    state.signal_stack = SignalStack{reinterpret_cast<std::uint64_t>(stack.ss_sp), stack.ss_flags, stack.ss_size};
  }
  BEAM_TRY(remote.call("read the parent's death signal", SYS_prctl, PR_GET_PDEATHSIG, remote.scratch()));
  BEAM_TRY_ASSIGN(state.parent_death_signal, remote.get<std::int32_t>());
  BEAM_TRY_ASSIGN(state.pending, pending_signals(tid, false));
  return state;
}

Result<ThreadState> Collector::exited_leader(const interpose::Process& process) {
  ThreadState state;
  state.vtid = process.vpid.value();
  state.exited = true;
  BEAM_TRY_ASSIGN(const auto stat, ProcStatFields::read(process.host));
  state.exit_code = static_cast<std::int32_t>(stat.field(52));
  return state;
}

Result<std::vector<std::vector<std::uint8_t>>> Collector::pending_signals(HostPid tid, bool shared_queue) {
  std::vector<std::vector<std::uint8_t>> queue;
  std::array<siginfo_t, 32> some{};
  static_assert(sizeof(siginfo_t) == kSiginfoSize);
  for (;;) {
    __ptrace_peeksiginfo_args args{};
    args.off = queue.size();
    args.flags = shared_queue ? PTRACE_PEEKSIGINFO_SHARED : 0;
    args.nr = static_cast<std::int32_t>(some.size());
    const long got = ::ptrace(PTRACE_PEEKSIGINFO, tid.value(), &args, some.data());
    if (got < 0) {
      return Error::from_errno("read the queued signals");
    }
    if (got == 0) {
      return queue;
    }
    for (long i = 0; i < got; ++i) {
      siginfo_t& info = some[static_cast<std::size_t>(i)];
      interpose::translate_siginfo(sandbox_.shared(), info);
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&info);
      queue.emplace_back(bytes, bytes + kSiginfoSize);
    }
  }
}

}  // namespace beam::migrate
