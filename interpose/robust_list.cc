#include "interpose/robust_list.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace beam::interpose {
namespace {

constexpr int kLongestList = ROBUST_LIST_LIMIT;

// Calls `visit(address of the word, whether it is a priority inheritance futex)` for each lock of the list.
template <typename Visit>
void walk(HostPid tid, const GuestMemory& memory, Visit visit) {
  std::uint64_t head = 0;
  std::size_t size = 0;
  if (::syscall(SYS_get_robust_list, tid.value(), &head, &size) != 0 || head == 0) {
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
  const auto visit_entry = [&](std::uint64_t entry) {
    visit((entry & ~1ULL) + static_cast<std::uint64_t>(list.futex_offset), (entry & 1) != 0);
  };
  std::uint64_t entry = list.next;
  for (int i = 0; i < kLongestList && (entry & ~1ULL) != head; ++i) {
    std::uint64_t next = 0;
    if (memory.read(entry & ~1ULL, &next, sizeof next) != 0) {
      return;
    }
    if (entry != list.pending) {
      visit_entry(entry);
    }
    entry = next;
  }
  if (list.pending != 0) {
    visit_entry(list.pending);
  }
}

bool is_owner(const GuestMemory& memory, std::uint64_t address, pid_t id, std::uint32_t& word) {
  return memory.read(address, &word, sizeof word) == 0 && (word & FUTEX_TID_MASK) == static_cast<std::uint32_t>(id);
}

// Thread ids end below 2^22 (PID_MAX_LIMIT), so the three low bytes hold all of one, and the byte with the waiters bit,
// which a waiter may set at this very moment, is left alone.
void write_owner(const GuestMemory& memory, std::uint64_t address, pid_t id) {
  constexpr std::size_t kIdBytes = 3;
  (void)memory.write(address, &id, kIdBytes);
}

}  // namespace

void mark_robust_futexes(const Task& task, const GuestMemory& memory, bool pi_waiters) {
  walk(task.tid, memory, [&](std::uint64_t address, bool inherits) {
    std::uint32_t word = 0;
    if (!is_owner(memory, address, task.vtid.value(), word)) {
      return;
    }
    if (!inherits) {
      write_owner(memory, address, task.tid.value());
      return;
    }
    // The kernel's walk would wake no plain waiter, so this one is marked here, and those who wait are told after
    // (PiWaiters::died). They alone could change the word meanwhile, by setting their bit.
    word = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED | (pi_waiters ? FUTEX_WAITERS : 0);
    (void)memory.write(address, &word, sizeof word);
  });
}

bool holds_robust_futexes(HostPid tid, const GuestMemory& memory) {
  bool any = false;
  walk(tid, memory, [&](std::uint64_t, bool) { any = true; });
  return any;
}

void rename_robust_owner(HostPid tid, const GuestMemory& memory, pid_t from, pid_t to) {
  walk(tid, memory, [&](std::uint64_t address, bool) {
    std::uint32_t word = 0;
    if (is_owner(memory, address, from, word)) {
      write_owner(memory, address, to);
    }
  });
}

}  // namespace beam::interpose
