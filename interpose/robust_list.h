// Robust futexes (set_robust_list(2), robust_list in the kernel's Documentation/locking). Futex words hold virtual
// tids, which the kernel's walk at exit would not recognise as the dying thread's. So just before it walks, at the exit
// event, the words that the thread owns get its host tid; the kernel then marks them and wakes a waiter as ever.
#pragma once

#include "interpose/guest_memory.h"
#include "interpose/task.h"

namespace beam::interpose {

// At the exit event. `pi_waiters`: some thread waits for a priority inheritance futex.
void mark_robust_futexes(const Task& task, const GuestMemory& memory, bool pi_waiters);

// The kernel walks the list at an exec as well, after the caller has taken over the id of its thread group's leader,
// and before anything stops. So an exec with locks held renames their owner first, and back when it fails.
[[nodiscard]] bool holds_robust_futexes(HostPid tid, const GuestMemory& memory);
void rename_robust_owner(HostPid tid, const GuestMemory& memory, pid_t from, pid_t to);

}  // namespace beam::interpose
