// A sandbox brought to rest: every task stopped between two instructions of its own, so that what the kernel tells
// about it is the whole truth. The first step of a freeze.
//
// Lives on the event thread. Holds, from begin() to resume() or end(): no task of the sandbox runs; none is in Beam's
// agent or in the vDSO; none waits for an answer or stands between the entry and the exit of a rewritten call. A system
// call that the stop has interrupted shows as the kernel's own restart code in rax with its number in orig_rax, also
// where the kernel would have shown EINTR: let go on, in this process or in another, the kernel restarts it, or ends it
// with EINTR where a handler runs first, as it does for every signal (signal(7)).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "interpose/blocked_call.h"
#include "interpose/tracer.h"

namespace beam::interpose {

class QuiescedSandbox {
 public:
  // Fails, with everything running again, when a task can't be stopped within `patience`: one that sleeps in the kernel
  // uninterruptibly, or one between vfork(2) and the exec or end of its child.
  static Result<std::unique_ptr<QuiescedSandbox>> begin(Tracer& tracer,
                                                        std::chrono::milliseconds patience = std::chrono::seconds(10));
  // Resumes, if neither resume() nor end() came before.
  ~QuiescedSandbox();
  QuiescedSandbox(const QuiescedSandbox&) = delete;
  QuiescedSandbox& operator=(const QuiescedSandbox&) = delete;

  // Everything goes on as if nothing had happened.
  void resume();
  // Everything is killed; the deaths arrive at the observer as ever.
  void end();

  [[nodiscard]] Tracer& tracer() { return *tracer_; }
  [[nodiscard]] Shared& shared() { return tracer_->shared(); }
  // The stopped tasks, by virtual id. A thread group leader that has exited before its threads is not among them.
  [[nodiscard]] std::vector<Task*> tasks() const;
  // The call that a task was asleep in, and for how long it had been; nothing when it ran.
  [[nodiscard]] const BlockedCall* blocked_call(HostPid tid) const;

 private:
  explicit QuiescedSandbox(Tracer& tracer) : tracer_(&tracer) {}
  Result<> stop_all(std::chrono::milliseconds patience);
  Result<> tidy(Task& task);
  Result<> bury_killed(std::chrono::milliseconds patience);

  Tracer* tracer_;  // null once resumed or ended
  std::unordered_map<HostPid, BlockedCall> blocked_;
};

}  // namespace beam::interpose
