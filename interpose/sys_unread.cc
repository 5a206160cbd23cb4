// Calls that tell private memory from a mapping of an image's page file: in thawed sandboxes they wait until what they
// concern has been read in (unread_memory.h). Elsewhere there is nothing to wait for, and no trap.
#include <sys/mman.h>

#include "interpose/shifted_clocks.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"
#include "interpose/unread_memory.h"

namespace beam::interpose {
namespace {

// A range that runs over the end of the address space is the kernel's to refuse.
UnreadRange pages(std::uint64_t start, std::uint64_t size) {
  return {start, size > UINT64_MAX - start ? UINT64_MAX : start + size};
}

// mremap(2) takes one mapping, as the program has it.
UnreadRange mappings(std::uint64_t start, std::uint64_t size) {
  UnreadRange range = pages(start, size == 0 ? 1 : size);  // 0: all of the mapping once more
  range.whole_mappings = true;
  return range;
}

Answer pass_when_read(const AnswerCall& call, UnreadRange range) {
  return is_unread(call.shared, *call.caller.process, range) ? Answer::escalate() : Answer::pass();
}

Rewrite after_reading(RewriteCall& call, UnreadRange range) {
  auto again = read_in_first(call, *call.task().process, range);
  return again ? std::move(*again) : Rewrite::pass();
}

// A call whose first two arguments are a range, and three more that are the kernel's.
#define ON_RANGE(name, range)                                                                                       \
  BEAM_SYSCALL_WHEN(name, Strategy::kAnswer, (TrapWhen{{when_shifted()}}), std::uint64_t start, std::uint64_t size, \
                    std::uint64_t, std::uint64_t, std::uint64_t) {                                                  \
    return pass_when_read(call, range(start, size));                                                                \
  }                                                                                                                 \
  BEAM_ESCALATED(name, std::uint64_t start, std::uint64_t size) {                                                   \
    return after_reading(call, range(start, size));                                                                 \
  }

ON_RANGE(madvise, pages)
ON_RANGE(mlock, pages)
ON_RANGE(mlock2, pages)
ON_RANGE(munlock, pages)
ON_RANGE(mseal, pages)
ON_RANGE(mbind, pages)
ON_RANGE(pkey_mprotect, pages)
ON_RANGE(mremap, mappings)

// All of the caller's memory.
#define ON_ALL(name)                                                              \
  BEAM_SYSCALL_WHEN(name, Strategy::kAnswer, (TrapWhen{{when_shifted()}}), int) { \
    return pass_when_read(call, {});                                              \
  }                                                                               \
  BEAM_ESCALATED(name) {                                                          \
    return after_reading(call, {});                                               \
  }

ON_ALL(mlockall)
ON_ALL(munlockall)
ON_ALL(fork)
ON_ALL(process_madvise)  // of other processes it only hints

}  // namespace
}  // namespace beam::interpose
