/* The agent: a few pages at one fixed address in every address space of a sandbox, mapped at each exec before the first
 * instruction of the program, read-only and executable to it, and sealed (mseal(2)) where the kernel can.
 *
 * The first page holds Beam's vDSO, the agent's code and its data, so that an exec touches one page; the slots after it
 * are touched when they are used. Shared with the agent's own C and assembly, so nothing but macros and one plain
 * struct. */
#pragma once

#define BEAM_AGENT_BASE 0x10000 /* the usual vm.mmap_min_addr: below every program, above what the kernel forbids */
#define BEAM_AGENT_VDSO (BEAM_AGENT_BASE)
#define BEAM_AGENT_VDSO_LIMIT 0xd00
#define BEAM_AGENT_CODE (BEAM_AGENT_BASE + 0xd00)
#define BEAM_AGENT_DATA (BEAM_AGENT_BASE + 0xf00)
#define BEAM_AGENT_SLOTS (BEAM_AGENT_BASE + 0x1000)
#define BEAM_AGENT_SLOT_SIZE 0x1000
#define BEAM_AGENT_SLOT_COUNT 31
#define BEAM_AGENT_END (BEAM_AGENT_SLOTS + BEAM_AGENT_SLOT_COUNT * BEAM_AGENT_SLOT_SIZE)

/* Offsets in the code. Calls made below BEAM_AGENT_REPORT pass the filter; the one that stands there never does. */
#define BEAM_AGENT_GADGET (BEAM_AGENT_CODE + 0x00) /* syscall; int3 */
#define BEAM_AGENT_START                                                                                              \
  (BEAM_AGENT_CODE + 0x10)                         /* protects and seals the agent, then jumps to the program's entry \
                                                    */
#define BEAM_AGENT_BATCH (BEAM_AGENT_CODE + 0x1b0) /* makes many calls in one go: struct BeamAgentCall */
#define BEAM_AGENT_REPORT                                                                    \
  (BEAM_AGENT_CODE + 0x1f0) /* stops the task for the event thread: a routine has its result \
                             */

#define BEAM_AGENT_DATA_ENTRY (BEAM_AGENT_DATA + 0) /* BeamAgentData.entry, for the assembly */

#ifndef __ASSEMBLER__
struct BeamAgentData {
  unsigned long entry; /* the program's first instruction */
  /* The kernel's vDSO in this address space; 0 where it has no such function. */
  unsigned long kernel_clock_gettime;
  unsigned long kernel_gettimeofday;
  unsigned long kernel_time;
  unsigned long kernel_getcpu;
  unsigned long kernel_clock_getres;
  /* What the sandbox's clocks are ahead of this workstation's, in nanoseconds. */
  long monotonic_offset;
  long boottime_offset;
};

/* For BEAM_AGENT_BATCH: rbx points at the first of an array, rbp is their number. It ends in a breakpoint. */
struct BeamAgentCall {
  unsigned long number;
  unsigned long args[6];
  long result;
};
#endif
