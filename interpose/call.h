// What a handler of a system call gets and gives, for each strategy.
#pragma once

#include <linux/seccomp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/unique_fd.h"
#include "interpose/guest_memory.h"
#include "interpose/syscall_args.h"
#include "interpose/task.h"
#include "interpose/trace.h"
#include "interpose/tracee.h"

namespace beam::interpose {

struct Shared;
class Tracer;

// The answer to a seccomp notification.
class Answer {
 public:
  enum class Kind { kResult, kPass, kEscalate, kDescriptor };
  // The call's result; a negative errno value is an error, as the kernel returns it.
  static Answer result(std::int64_t value) { return Answer(Kind::kResult, value); }
  static Answer error(int code) { return Answer(Kind::kResult, -code); }
  // The kernel does it after all, with the caller's arguments.
  static Answer pass() { return Answer(Kind::kPass, 0); }
  // The event thread does it, by the call's BEAM_ESCALATED part.
  static Answer escalate() { return Answer(Kind::kEscalate, 0); }
  // The caller gets a new descriptor for `fd`, and its number as the result.
  static Answer descriptor(UniqueFd fd, bool close_on_exec) {
    Answer answer(Kind::kDescriptor, 0);
    answer.fd_ = std::move(fd);
    answer.close_on_exec_ = close_on_exec;
    return answer;
  }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::int64_t value() const { return value_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool close_on_exec() const { return close_on_exec_; }

 private:
  Answer(Kind kind, std::int64_t value) : kind_(kind), value_(value) {}
  Kind kind_;
  std::int64_t value_;
  UniqueFd fd_;
  bool close_on_exec_ = false;
};

// A call whose caller waits: in the kernel for an answer thread, where no signal interrupts it (WAIT_KILLABLE), or in a
// ptrace stop. Only death ends the wait.
struct AnswerCall {
  Shared& shared;
  const Caller& caller;
  int listener = -1;  // -1: in a ptrace stop
  std::uint64_t notification = 0;

  [[nodiscard]] GuestMemory memory() const { return GuestMemory(caller.tid); }
  // True while the caller still waits: whatever was read of it before this said true was its own.
  [[nodiscard]] bool still_waits() const;
  // A copy of a descriptor of the caller (pidfd_getfd(2)); -errno in `error` when there is none.
  [[nodiscard]] UniqueFd descriptor(GuestFd fd, int& error) const;
};

// The same for a task: a live thread of `process`.
[[nodiscard]] UniqueFd copy_descriptor(HostPid tid, const Process& process, int fd, int& error);

class AgentCall;
class ExitCall;
class RewriteCall;

// What must be remembered between a call's entry and its exit.
class CallInProgress {
 public:
  virtual ~CallInProgress() = default;
  // The kernel is done: translate results. Not run when the call is about to be restarted.
  virtual void at_exit(ExitCall& call) = 0;
  // The program will make the call again, perhaps after a signal handler.
  virtual void at_restart(ExitCall& /*call*/) {}
  // It was an exec, and this is the new program before its first instruction, with the agent in it.
  virtual void executed(StoppedTracee& /*tracee*/, bool /*filtered*/) {}
  virtual AgentCall* in_agent() { return nullptr; }
  // Arguments to put back into their registers, so that the program finds them as it left them (the kernel's ABI keeps
  // all but rax, rcx and r11), and so that a restarted call starts from virtual names again.
  std::array<std::optional<std::uint64_t>, 6> saved;
  std::optional<std::uint64_t> saved_ip;  // likewise
  std::uint32_t slots = 0;                // of the agent's pages, given back at exit
  std::unique_ptr<TracedCall> traced;     // when the call is to be printed
  long number = -1;
  bool entered = true;  // false: the call's entry stop is still to come
  // Of a call with a timeout that is made again with what was left of it: when it times out (timed_call.h).
  std::optional<std::int64_t> deadline_ns;
};

// A call that a routine of the agent does for its caller (interpose/agent/). The task runs there unwatched, until the
// routine reports its result or something takes the task out before (Tracer::leave_agent).
class AgentCall : public CallInProgress {
 public:
  user_regs_struct entry{};  // as the program made the call
  void at_exit(ExitCall& /*call*/) final {}
  // The registers are still the routine's. The call's result, or nothing when the program is to make the call again.
  // `faulted`: the routine touched memory that is not there.
  virtual std::optional<std::int64_t> leave(ExitCall& call, bool faulted) = 0;
  AgentCall* in_agent() final { return this; }
};

class Rewrite {
 public:
  enum class Kind { kPass, kUntilExit, kSkip, kInAgent };
  static Rewrite pass() { return Rewrite(Kind::kPass); }
  static Rewrite until_exit(std::unique_ptr<CallInProgress> call) {
    Rewrite rewrite(Kind::kUntilExit);
    rewrite.call_ = std::move(call);
    return rewrite;
  }
  // The handler has set the registers for a routine of the agent, which runs in the call's place.
  static Rewrite in_agent(std::unique_ptr<AgentCall> call) {
    Rewrite rewrite(Kind::kInAgent);
    rewrite.call_ = std::move(call);
    return rewrite;
  }
  // The kernel does not run the call; its result is `value`.
  static Rewrite skip(std::int64_t value) {
    Rewrite rewrite(Kind::kSkip);
    rewrite.value_ = value;
    return rewrite;
  }
  static Rewrite error(int code) { return skip(-code); }
  // The kernel does not run the call; the program makes it once more, as if it had not been made yet.
  static Rewrite make_again(const RewriteCall& call);

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::int64_t value() const { return value_; }
  std::unique_ptr<CallInProgress> take_call() { return std::move(call_); }

 private:
  explicit Rewrite(Kind kind) : kind_(kind) {}
  Kind kind_;
  std::int64_t value_ = 0;
  std::unique_ptr<CallInProgress> call_;
};

// A call at its entry stop, on the event thread.
class RewriteCall {
 public:
  RewriteCall(Tracer& tracer, Shared& shared, Task& task, StoppedTracee& tracee)
      : tracer_(tracer), shared_(shared), task_(task), tracee_(tracee) {}
  [[nodiscard]] Tracer& tracer() const { return tracer_; }
  [[nodiscard]] Shared& shared() const { return shared_; }
  [[nodiscard]] Task& task() const { return task_; }
  [[nodiscard]] StoppedTracee& tracee() const { return tracee_; }
  [[nodiscard]] GuestMemory memory() const { return tracee_.memory(); }
  // Changes argument `index`; the old value returns at exit.
  void set_arg(CallInProgress& call, std::size_t index, std::uint64_t value);
  // Puts bytes where only this call reads them, and gives the address. 0 when no slot is free: answer ENOMEM.
  [[nodiscard]] std::uint64_t put(CallInProgress& call, const void* bytes, std::size_t size);

 private:
  Tracer& tracer_;
  Shared& shared_;
  Task& task_;
  StoppedTracee& tracee_;
};

// A call at its exit stop.
class ExitCall {
 public:
  ExitCall(Tracer& tracer, Shared& shared, Task& task, StoppedTracee& tracee)
      : tracer_(tracer), shared_(shared), task_(task), tracee_(tracee) {}
  [[nodiscard]] Tracer& tracer() const { return tracer_; }
  [[nodiscard]] Shared& shared() const { return shared_; }
  [[nodiscard]] Task& task() const { return task_; }
  [[nodiscard]] StoppedTracee& tracee() const { return tracee_; }
  [[nodiscard]] GuestMemory memory() const { return tracee_.memory(); }
  [[nodiscard]] std::int64_t result() const;
  void set_result(std::int64_t value);

 private:
  Tracer& tracer_;
  Shared& shared_;
  Task& task_;
  StoppedTracee& tracee_;
};

// The number of argument `index`'s register in user_regs_struct.
[[nodiscard]] unsigned long long& arg_register(user_regs_struct& regs, std::size_t index);
[[nodiscard]] RawArgs raw_args(const user_regs_struct& regs);

}  // namespace beam::interpose
