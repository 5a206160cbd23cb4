#include "interpose/robust_list.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace beam::interpose {
namespace {

constexpr int kLongestList = ROBUST_LIST_LIMIT;

void mark(const Task& task, const GuestMemory& memory, std::uint64_t entry, std::int64_t futex_offset,
          bool pi_waiters) {
  const std::uint64_t address = (entry & ~1ULL) + static_cast<std::uint64_t>(futex_offset);
  std::uint32_t word = 0;
  if (memory.read(address, &word, sizeof word) != 0 ||
      (word & FUTEX_TID_MASK) != static_cast<std::uint32_t>(task.vtid.value())) {
    return;
  }
  const bool inherits = (entry & 1) != 0;
  if (inherits) {
    // The kernel's walk would wake no plain waiter, so this one is marked here, and those who wait are told after
    // (PiWaiters::died). They alone could change the word meanwhile, by setting their bit.
    word = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED | (pi_waiters ? FUTEX_WAITERS : 0);
    (void)memory.write(address, &word, sizeof word);
    return;
  }
  // Thread ids end below 2^22 (PID_MAX_LIMIT), so the three low bytes hold all of one, and the byte with the waiters bit,
  // which a waiter may set at this very moment, is left alone.
  const pid_t host = task.tid.value();
  constexpr std::size_t kIdBytes = 3;
  (void)memory.write(address, &host, kIdBytes);
}

}  // namespace

void mark_robust_futexes(const Task& task, const GuestMemory& memory, bool pi_waiters) {
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
      mark(task, memory, entry, list.futex_offset, pi_waiters);
    }
    entry = next;
  }
  if (list.pending != 0) {
    mark(task, memory, list.pending, list.futex_offset, pi_waiters);
  }
}

}  // namespace beam::interpose
