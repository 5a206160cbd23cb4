// System calls that a freeze interrupts, and what is left of their timeouts.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <optional>

#include "interpose/task.h"
#include "migrate/state.h"

namespace beam::migrate {

// A call that the kernel restarts, by its registers at the stop; nothing for a task that was in none. What is left of
// its timeout counts from `now`, of CLOCK_MONOTONIC.
[[nodiscard]] std::optional<InterruptedCall> interrupted_call(const user_regs_struct& regs, const interpose::Task& task,
                                                              std::int64_t now_ns);

}  // namespace beam::migrate
