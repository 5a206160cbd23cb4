// Memory of a thawed sandbox that has not been read from its image yet: such pages are mapped from the image's page
// file, privately, so that a thaw takes no longer for more of them, and are read in while the sandbox runs.
//
// A private mapping of a file differs from private memory in what MADV_DONTNEED leaves, in what mremap(2) grows it by,
// and in what /proc shows. So whatever could tell the difference waits until what it concerns has been read in: the
// calls of sys_unread.cc, trapped in thawed sandboxes alone, a fork, files of /proc that show mappings, a freeze. What
// unmaps or overwrites such memory needs no care, since what is mapped is asked of the kernel when it is read in.
//
// Reading in puts private memory in the place of the mapping, with the same contents, while no task runs. It has to
// become one with the rest of the program's mapping again, as mremap(2) takes no more than one. The kernel joins what
// has the same anon_vma, and gives new memory that of its neighbour (mm/vma.c, find_mergeable_anon_vma); so parts are
// read in one after the other, from a neighbour on.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace beam::interpose {

class QuiescedSandbox;
class Rewrite;
class RewriteCall;
struct AddressSpace;
struct Process;
struct Shared;

// All in bytes, page-aligned.
struct UnreadRun {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;  // in the page file
  // The program's mapping that it belongs to, and what that one has.
  std::uint64_t mapping_start = 0;
  std::uint64_t mapping_end = 0;
  bool no_reserve = false;
  std::vector<std::int32_t> advice;  // MADV_*
  std::string name;                  // PR_SET_VMA_ANON_NAME
};

// Of one address space. Changed on the event thread, under the task table's mutex.
struct UnreadMemory {
  std::shared_ptr<const UniqueFd> file;     // the page file
  std::string identity;                     // its device and inode, as /proc/PID/maps has them
  std::int64_t modified_ns = 0;             // when it was written last
  std::map<std::uint64_t, UnreadRun> runs;  // by their start
};

// What /proc/TID/maps has as device and inode of what is mapped at `address`; empty: nothing, or no file.
[[nodiscard]] std::string mapped_identity(int tid, std::uint64_t address);

// What of an address space is meant, in bytes; whole pages, or all of each of the program's mappings that it touches.
struct UnreadRange {
  std::uint64_t start = 0;
  std::uint64_t end = UINT64_MAX;
  bool whole_mappings = false;
};

// Whether something there is unread. On any thread.
[[nodiscard]] bool is_unread(const Shared& shared, const Process& process, UnreadRange range);
// Reads it in. What can't be read stays mapped from the page file.
[[nodiscard]] Result<> read_in(QuiescedSandbox& sandbox, AddressSpace& space, UnreadRange range);
// Reads in something, and goes on until `give_up`. True: all of it has been read.
[[nodiscard]] Result<bool> read_in_until(QuiescedSandbox& sandbox, std::chrono::steady_clock::time_point give_up);
[[nodiscard]] Result<> read_in_all(QuiescedSandbox& sandbox);

// For a call at its entry stop that concerns memory of `process`: where some of it is unread, the event thread reads it
// in next, and the program makes its call again. Nothing otherwise.
[[nodiscard]] std::optional<Rewrite> read_in_first(RewriteCall& call, const Process& process, UnreadRange range);

// Has the next part to be read in come into the page cache; returns at once. False: nothing is unread.
bool read_ahead(const Shared& shared);

}  // namespace beam::interpose
