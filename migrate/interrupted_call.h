// System calls that a freeze interrupts, and what is left of their timeouts.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <optional>

#include "interpose/blocked_call.h"
#include "interpose/guest_memory.h"
#include "migrate/state.h"

namespace beam::migrate {

// Where a call has a timeout that counts from its start.
struct RelativeTimeout {
  int arg = 0;
  bool in_memory = false;  // a pointer to a timespec; otherwise milliseconds, with what is below 0 for ever
};
[[nodiscard]] std::optional<RelativeTimeout> relative_timeout(const user_regs_struct& regs);

// A call that the kernel restarts, by its registers at the stop; nothing for a task that was in none. `blocked` is what it
// slept in, and for how long, before it was stopped.
[[nodiscard]] std::optional<InterruptedCall> interrupted_call(const user_regs_struct& regs,
                                                              const interpose::GuestMemory& memory,
                                                              const interpose::BlockedCall* blocked);

}  // namespace beam::migrate
