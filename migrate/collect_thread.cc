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
#include "migrate/extended_state.h"
#include "migrate/interrupted_call.h"
#include "migrate/kernel_structs.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION static_cast<__ptrace_request>(0x420f)
#endif

namespace beam::migrate {
namespace {

constexpr std::size_t kSiginfoSize = 128;

}  // namespace

Result<ThreadState> Collector::thread(Remote& remote) {
  const interpose::Task& task = remote.task();
  const HostPid tid = task.tid;
  ThreadState state;
  state.vtid = task.vtid.value();
  state.vfork_child = task.vfork_child.value();
  const user_regs_struct* regs = remote.tracee().regs();
  const auto mask = remote.tracee().signal_mask();
  if (regs == nullptr || !mask) {
    return Error(ESRCH, "thread " + std::to_string(state.vtid));
  }
  state.registers.resize(sizeof *regs / sizeof(std::uint64_t));
  std::memcpy(state.registers.data(), regs, sizeof *regs);
  state.signal_mask = *mask;
  state.call = interrupted_call(*regs, task, context_.began_ns);
  BEAM_TRY_ASSIGN(state.extended, read_extended_state(tid));
  RseqConfiguration rseq{};
  if (::ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid.value(), sizeof rseq, &rseq) > 0 && rseq.address != 0) {
    state.rseq = RestartableSequences{rseq.address, rseq.size, rseq.signature, rseq.flags};
  }
  if (::syscall(SYS_get_robust_list, tid.value(), &state.robust_list, &state.robust_list_size) != 0) {
    return Error::from_errno("read the robust list of thread " + std::to_string(state.vtid));
  }
  Batch batch(remote);
  const std::uint64_t name = batch.put(std::array<char, 16>{});
  batch.add("read the name", SYS_prctl, PR_GET_NAME, name);
  const std::uint64_t tid_address = batch.put(std::uint64_t{});
  batch.add("read the tid address", SYS_prctl, PR_GET_TID_ADDRESS, tid_address);
  const std::uint64_t stack_place = batch.put(stack_t{});
  batch.add("read the signal stack", SYS_sigaltstack, 0, stack_place);
  const std::uint64_t death_signal = batch.put(std::int32_t{});
  batch.add("read the parent's death signal", SYS_prctl, PR_GET_PDEATHSIG, death_signal);
  const std::size_t secure_bits = batch.add("read the secure bits", SYS_prctl, PR_GET_SECUREBITS);
  const std::size_t timer_slack = batch.add("read the timer slack", SYS_prctl, PR_GET_TIMERSLACK);
  const std::uint64_t counter = batch.put(std::int32_t{});
  const std::size_t counter_call = batch.add(nullptr, SYS_prctl, PR_GET_TSC, counter);
  const std::size_t failure = batch.add(nullptr, SYS_prctl, PR_MCE_KILL_GET, 0, 0, 0, 0);
  BEAM_TRY(batch.run());
  if (batch.result(failure) == PR_MCE_KILL_EARLY || batch.result(failure) == PR_MCE_KILL_LATE) {
    state.attributes.memory_failure = static_cast<std::int32_t>(batch.result(failure));
  }
  state.attributes.no_new_privs = task.no_new_privs ? 1 : 0;
  state.name = batch.get<std::array<char, 16>>(name).data();
  state.clear_tid_address = batch.get<std::uint64_t>(tid_address);
  const auto stack = batch.get<stack_t>(stack_place);
  if ((stack.ss_flags & SS_DISABLE) == 0) {
    state.signal_stack = SignalStack{reinterpret_cast<std::uint64_t>(stack.ss_sp), stack.ss_flags, stack.ss_size};
  }
  state.parent_death_signal = batch.get<std::int32_t>(death_signal);
  state.attributes.secure_bits = static_cast<std::uint32_t>(batch.result(secure_bits));
  const auto slack = static_cast<std::uint64_t>(batch.result(timer_slack));
  if (slack != own_.timer_slack && slack != 0) {  // 0: of a real-time thread, which has none
    state.attributes.timer_slack_ns = slack;
  }
  if (batch.result(counter_call) == 0 && batch.get<std::int32_t>(counter) == PR_TSC_SIGSEGV) {
    state.attributes.time_stamp_counter = PR_TSC_SIGSEGV;
  }
  BEAM_TRY(attributes(task, state.attributes));
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
