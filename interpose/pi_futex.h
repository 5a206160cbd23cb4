// Priority inheritance futexes: futex(2) FUTEX_LOCK_PI and its like.
//
// The word of such a futex names its owner by thread id. Programs store virtual ids, which the kernel's service would
// not know, so it is rendered by the caller itself, in a routine of the agent (interpose/agent/pi_futex.S): the event
// thread sets its registers, lets it run, and is told by a trapped call when it has the result. LOCK_PI becomes a plain
// wait with the waiters bit set, UNLOCK_PI frees the word and wakes one waiter, who takes it with the bit.
//
// What the kernel does better: the lock is not handed over, so a running thread may overtake a woken one; and nobody
// inherits a priority, which matters to real-time threads only (an unprivileged account has none).
//
// Always holds: a task whose Task::call is an AgentCall is in its routine, and can be taken out at any stop (by a
// signal, a freeze, a death): Tracer::leave_agent() puts it either before its call, with every register as the program
// had it and the word not its own, or behind it. The words alone are the state of the locks; nothing of it is in the
// supervisor. Waiters are listed only to be nudged when a thread dies or leaves that a wake was meant for.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/ids.h"
#include "interpose/task.h"

namespace beam::interpose {

class PiWaiters {
 public:
  struct Wait {
    std::shared_ptr<AddressSpace> space;
    std::uint64_t word = 0;
    bool shared = false;          // between processes: any shared word may be the same one, at another address
    std::uint64_t condition = 0;  // of FUTEX_WAIT_REQUEUE_PI: the word that it waits at first
  };

  void add(HostPid tid, Wait wait) { waits_[tid] = std::move(wait); }
  // Whether somebody waits, or is about to, by FUTEX_WAIT_REQUEUE_PI at what may be this word.
  [[nodiscard]] bool may_be_requeued(const AddressSpace& space, std::uint64_t condition, bool shared) const;
  [[nodiscard]] bool any() const { return !waits_.empty(); }
  // The task has its result, or begins anew. With `pass_on`, a wake that it may have used up goes to those who wait as
  // well.
  void remove(HostPid tid, bool pass_on);
  // A thread has come to its end, its robust list walked: what it still owns goes to those who wait, marked
  // FUTEX_OWNER_DIED, and a wake that was meant for it is passed on.
  void died(HostPid tid, VirtualPid vtid);

 private:
  std::unordered_map<HostPid, Wait> waits_;
};

}  // namespace beam::interpose
