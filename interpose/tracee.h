// A task that is in a ptrace stop. Only a stopped task can be looked into or changed, so every such operation is a
// member of StoppedTracee; resuming consumes it. The one thread that may use it is the tracer's (ptrace(2)).
//
// A task can die (SIGKILL) at any moment, even while stopped: every operation then gives ESRCH, which is an ordinary
// result. Registers are read once a stop, and written back at resume if they were changed.
#pragma once

#include <signal.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "interpose/guest_memory.h"

namespace beam::interpose {

enum class Resume {
  kContinue,       // to the next event
  kToSyscallStop,  // to the next system call entry or exit as well
  kSingleStep,     // one instruction
  kListen,         // stay in the group stop, but report what ends it (PTRACE_LISTEN)
};

class StoppedTracee {
 public:
  explicit StoppedTracee(HostPid tid) : tid_(tid) {}
  StoppedTracee(StoppedTracee&& other) noexcept;
  StoppedTracee& operator=(StoppedTracee&& other) noexcept;
  StoppedTracee(const StoppedTracee&) = delete;
  StoppedTracee& operator=(const StoppedTracee&) = delete;
  ~StoppedTracee() = default;

  [[nodiscard]] HostPid tid() const { return tid_; }
  [[nodiscard]] GuestMemory memory() const { return GuestMemory(tid_); }

  // Null when the task has died.
  [[nodiscard]] user_regs_struct* regs();
  void set_regs_changed() { regs_changed_ = true; }
  // Writes changed registers now; false when the task has died.
  bool flush_regs();

  [[nodiscard]] std::optional<std::uint64_t> event_message() const;
  [[nodiscard]] std::optional<siginfo_t> siginfo() const;
  bool set_siginfo(const siginfo_t& info) const;
  [[nodiscard]] std::optional<std::uint64_t> signal_mask() const;
  bool set_signal_mask(std::uint64_t mask) const;

  // Runs one system call in the task by stepping over the `syscall` instruction at `gadget`, and puts registers and
  // signal mask back. The raw result (-errno on failure); Error only when the task died. The call must not block.
  Result<std::int64_t> inject(std::uint64_t gadget, long number, const std::array<std::uint64_t, 6>& args);

  // Runs the `count` calls of the array of BeamAgentCall at `calls` (agent/layout.h), each of which gets its result
  // there, at the price of one stop. None of them may block. False when the task died.
  bool inject_batch(std::uint64_t routine, std::uint64_t calls, std::uint64_t count);

  // The same by way of the system call stops, between which the kernel's filters take the call for one made at
  // `shown_ip`.
  Result<std::int64_t> inject_as_from(std::uint64_t gadget, std::uint64_t shown_ip, long number,
                                      const std::array<std::uint64_t, 6>& args);

  // One instruction, or the way out of a system call that the task is in. False when it died; its exit is for the event
  // loop. Sets `stop_request_used` when a PTRACE_EVENT_STOP came instead: ask for it again with request_stop() when
  // done.
  bool step(bool& stop_request_used);
  bool request_stop() const;

  // Lets the task go on, delivering `signal` if not 0. False when it has died meanwhile: a wait status will tell.
  bool resume(Resume how, int signal = 0) &&;

 private:
  bool advance(Resume how, bool& stop_request_used);

  HostPid tid_;
  user_regs_struct regs_{};
  bool regs_read_ = false;
  bool regs_changed_ = false;
};

}  // namespace beam::interpose
