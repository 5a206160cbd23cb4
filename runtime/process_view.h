// What the kernel of this workstation says about a process of a sandbox, for `ps` and `tree`.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace beam::runtime {

// The command line, or "[name]" for a process without one; empty when it has gone.
[[nodiscard]] std::string command_of(pid_t host_pid);
// Memory in bytes, shared pages split among those that share them; 0 when it has gone.
[[nodiscard]] std::uint64_t memory_of(pid_t host_pid);

}  // namespace beam::runtime
