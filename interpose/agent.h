// Puts the agent's pages into an address space (interpose/agent/layout.h).
#pragma once

#include <optional>

#include "interpose/shared.h"
#include "interpose/task.h"
#include "interpose/tracee.h"

namespace beam::interpose {

// What the filters see of a call by the agent: the address behind its instruction.
inline constexpr std::uint64_t kAgentCallAddress = BEAM_AGENT_GADGET + 2;

enum class AgentMapping {
  kMapped,
  kUnreadable,  // the executable may be executed but not read, which hides the memory from the supervisor (see
                // reveal.h)
  kNone,        // the task died, or has no kernel vDSO to borrow a system call instruction from: it runs without
};

// At the exec event, before the program's first instruction: maps and fills the agent, announces Beam's vDSO in the
// auxiliary vector on the stack, and lets the program start by way of the agent. Leaves the task stopped.
// `filtered`: filters of the program's own could refuse what is injected before the agent is there.
AgentMapping map_agent_at_exec(StoppedTracee& tracee, AddressSpace& space, const ClockOffsets& clocks, bool filtered);
// The same in a program that already runs, between two of its instructions.
AgentMapping map_agent_under_way(StoppedTracee& tracee, AddressSpace& space, const ClockOffsets& clocks, bool filtered);

// The bytes of the agent's first page for an address space whose kernel vDSO stands at `kernel_vdso`.
struct AgentPage {
  unsigned char bytes[4096];
};
[[nodiscard]] AgentPage agent_page(std::uint64_t kernel_vdso, std::uint64_t entry, const ClockOffsets& clocks);
// The value of an entry of the auxiliary vector of a program that has not begun, whose stack pointer is given.
[[nodiscard]] std::optional<std::uint64_t> find_in_auxiliary_vector(const GuestMemory& memory,
                                                                    std::uint64_t initial_stack, std::uint64_t type);
// Offset of a `syscall` instruction in the kernel's vDSO; 0 when there is none.
[[nodiscard]] std::uint64_t kernel_vdso_syscall_offset();
// Size of the kernel's vDSO in memory; 0 when there is none.
[[nodiscard]] std::uint64_t kernel_vdso_size();

}  // namespace beam::interpose
