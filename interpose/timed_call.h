// System calls with a timeout that counts from their start, across a stop: what is left of it, and how the call goes
// on.
//
// The kernel forgets how long an interrupted wait has lasted, or keeps that where only its own restart_syscall(2) finds
// it (struct restart_block), which a new process has not got. So the time at which a call times out is worked out at
// the stop, and a call that has to be made again is made with the time that is left.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <optional>

#include "interpose/blocked_call.h"
#include "interpose/call.h"

namespace beam::interpose {

// What the kernel leaves in rax for a call that it will make again (include/linux/errno.h); no program sees them.
inline constexpr std::int64_t kRestartSys = -512;
inline constexpr std::int64_t kRestartNoIntr = -513;
inline constexpr std::int64_t kRestartNoHandler = -514;
inline constexpr std::int64_t kRestartBlock = -516;
[[nodiscard]] constexpr bool will_restart(std::int64_t result) {
  return (result >= kRestartNoHandler && result <= kRestartSys) || result == kRestartBlock;
}

// Calls that show a stop as EINTR, although no handler has run (signal(7), "Interruption of system calls ... by stop
// signals", and those that check signal_pending() themselves). To the program, ERESTARTNOHAND means the same wherever
// EINTR would be right: the kernel turns it into EINTR when a handler runs.
[[nodiscard]] bool shows_stop_as_eintr(long number);

[[nodiscard]] std::int64_t monotonic_ns();

// Where a call has a timeout that counts from its start.
struct RelativeTimeout {
  int arg = 0;
  bool in_memory = false;  // a pointer to a timespec; otherwise milliseconds, with what is below 0 for ever
};
[[nodiscard]] std::optional<RelativeTimeout> relative_timeout(long number, const user_regs_struct& regs);

// When the call `number`, which the registers of a stopped task show as interrupted, times out: nanoseconds of this
// workstation's CLOCK_MONOTONIC. Nothing when it does not, or not by a time that counts from its start. `blocked` is
// what the task slept in, and for how long, before it was stopped; null: not known.
[[nodiscard]] std::optional<std::int64_t> deadline_of(long number, const user_regs_struct& regs,
                                                      const GuestMemory& memory, const BlockedCall* blocked);

// Puts a time where the kernel reads it at the call's entry, and gives the address; 0 when there is no room. Many
// threads may wait at once, so not in the agent's few slots if there is another way: what lies below the stack's red
// zone is nobody's (System V ABI, 3.2.2), and a time is no name that a sibling thread could gain by changing.
[[nodiscard]] std::uint64_t put_time(RewriteCall& call, CallInProgress& progress, const void* bytes, std::size_t size);

// A call that is made again with the time that is left. Its registers say so from the start; entered: from its entry
// stop on, where another handler may take over.
class TimedCall : public CallInProgress {
 public:
  explicit TimedCall(std::int64_t deadline) {
    entered = false;
    deadline_ns = deadline;
  }
  void at_exit(ExitCall& /*call*/) override {}
};

}  // namespace beam::interpose
