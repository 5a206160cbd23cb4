#include "interpose/robust_list.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace beam::interpose {
namespace {

constexpr int kLongestList = ROBUST_LIST_LIMIT;

void mark(const Task& task, const GuestMemory& memory, std::uint64_t entry, std::int64_t futex_offset) {
  // The lowest bit of an entry says that it is a priority inheritance futex; those are emulated, but marked the same way.
  const std::uint64_t address = (entry & ~1ULL) + static_cast<std::uint64_t>(futex_offset);
  std::uint32_t word = 0;
  if (memory.read(address, &word, sizeof word) != 0 ||
      (word & FUTEX_TID_MASK) != static_cast<std::uint32_t>(task.vtid.value())) {
    return;
  }
  // A waiter may set its bit between this read and the write. Set for it, the bit costs one needless wake at most, and a
  // waiter whose exchange fails on the changed word looks again.
  word = (word & ~FUTEX_TID_MASK) | static_cast<std::uint32_t>(task.tid.value()) | FUTEX_WAITERS;
  (void)memory.write(address, &word, sizeof word);
}

}  // namespace

void mark_robust_futexes(const Task& task, const GuestMemory& memory) {
  std::uint64_t head = 0;
  std::size_t size = 0;
  if (::syscall(SYS_get_robust_list, task.tid.value(), &head, &size) != 0 || head == 0) {
    return;
  }
  struct {
    std::uint64_t next;
    std::int64_t futex_offset;
    std::uint64_t pending;
  } list{};
  if (memory.read(head, &list, sizeof list) != 0) {
    return;
  }
  std::uint64_t entry = list.next;
  for (int i = 0; i < kLongestList && (entry & ~1ULL) != head; ++i) {
    std::uint64_t next = 0;
    if (memory.read(entry & ~1ULL, &next, sizeof next) != 0) {
      return;
    }
    if (entry != list.pending) {
      mark(task, memory, entry, list.futex_offset);
    }
    entry = next;
  }
  if (list.pending != 0) {
    mark(task, memory, list.pending, list.futex_offset);
  }
}

}  // namespace beam::interpose
