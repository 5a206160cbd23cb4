// The sandboxes of a home, as `beam ps --json` prints them, and the load of a workstation.
#pragma once

#include "runtime/json.h"
#include "runtime/link_messages.h"
#include "runtime/record.h"

namespace beam::runtime {

// An array of {name, group, state, workstation, address, pids, uptime_s, memory_bytes, command}; with `all` also those
// that have ended.
[[nodiscard]] Json list_sandboxes(const RecordStore& store, bool all);

// What this workstation has to do.
[[nodiscard]] Load load_here(const RecordStore& store);

}  // namespace beam::runtime
