// Robust futexes (set_robust_list(2), robust_list in the kernel's Documentation/locking). Futex words hold virtual tids,
// which the kernel's walk at exit would not recognise as the dying thread's. So just before it walks, at the exit event, the
// words that the thread owns get its host tid; the kernel then marks them and wakes a waiter as ever.
#pragma once

#include "interpose/guest_memory.h"
#include "interpose/task.h"

namespace beam::interpose {

// `pi_waiters`: some thread waits for a priority inheritance futex.
void mark_robust_futexes(const Task& task, const GuestMemory& memory, bool pi_waiters);

}  // namespace beam::interpose
