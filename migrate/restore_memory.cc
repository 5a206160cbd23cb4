// Address spaces: mappings, the contents of private pages, and what the kernel believes about the layout.
#include <elf.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "interpose/agent/layout.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

#ifndef PR_SET_VMA
constexpr int PR_SET_VMA = 0x53564d41;
constexpr int PR_SET_VMA_ANON_NAME = 0;
#endif
constexpr long kMseal = 462;
constexpr std::uint64_t kGuardInstall = 102;  // MADV_GUARD_INSTALL, since Linux 6.13
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLongRun = 512UL << 10;  // bytes: shorter ones are read at once, or there would be too many
constexpr std::size_t kMostUnread = 16384;       // mappings of a process; the kernel allows 65530
constexpr std::size_t kLongestAuxiliaryVector = 2 * 52;  // words; sizeof(mm->saved_auxv)

// Twice the index of the file, or of the inode that no path leads to; one more where the mapping must not become
// writable.
std::uint32_t inode_key(const Mapping& mapping) {
  return mapping.file * 2 + (mapping.shared && mapping.may_write ? 0U : 1U);
}

}  // namespace

Result<> Restorer::fill_memory(Remote& remote, const AddressSpaceState& space) {
  // All files that this address space maps, and its page file, in one go.
  std::vector<int> ours;
  std::set<std::uint32_t> files;  // inode_key()
  std::set<std::uint32_t> shared;
  for (const Mapping& mapping : space.mappings) {
    if (mapping.backing == Backing::kFile) {
      files.insert(inode_key(mapping));
    } else if (mapping.backing == Backing::kSharedMemory) {
      shared.insert(inode_key(mapping));
    }
  }
  for (const std::uint32_t file : files) {
    ours.push_back((file % 2 == 0 ? mapped_files_ : read_only_files_)[file / 2].get());
  }
  for (const std::uint32_t file : shared) {
    ours.push_back((file % 2 == 0 ? inodes_ : read_only_inodes_)[file / 2].get());
  }
  UniqueFd pages;
  if (!space.pages.empty()) {
    BEAM_TRY_ASSIGN(pages, image_.file(space.page_file));
    ours.push_back(pages.get());
  }
  std::vector<int> numbers;
  BEAM_TRY(hand_over(remote, ours, numbers));
  std::map<std::uint32_t, int> file_numbers;
  std::map<std::uint32_t, int> shared_numbers;
  std::size_t next = 0;
  for (const std::uint32_t file : files) {
    file_numbers[file] = numbers[next++];
  }
  for (const std::uint32_t file : shared) {
    shared_numbers[file] = numbers[next++];
  }
  struct statvfs volume {};
  may_map_pages_ =
      pages && !shows_mappings_ && ::fstatvfs(pages.get(), &volume) == 0 && (volume.f_flag & ST_NOEXEC) == 0;
  const auto page_file = pages ? static_cast<std::uint64_t>(numbers[next]) : 0;

  BEAM_TRY(attach_sysv(remote, space));
  // Most address spaces are dozens of mappings with few pages: one stop for as many calls as there is room for.
  Batch batch(remote);
  struct Reading {
    std::size_t call;
    std::uint64_t size;
  };
  std::vector<Reading> readings;
  const auto run_batch = [&]() -> Result<> {
    BEAM_TRY(batch.run());
    for (const Reading& reading : readings) {
      if (batch.result(reading.call) != static_cast<std::int64_t>(reading.size)) {
        return Error(kDamaged, "the page file " + space.page_file + " ends early");
      }
    }
    readings.clear();
    batch = Batch(remote);
    return success();
  };
  std::vector<interpose::UnreadRun> unread;
  const auto make_room = [&](const Mapping& mapping) -> Result<> {
    constexpr std::size_t kMostOfOne = 32;  // calls
    if (!batch.has_room(mapping.name.size() + kMostOfOne * sizeof(BeamAgentCall))) {
      BEAM_TRY(run_batch());
    }
    return success();
  };
  const auto read = [&](std::uint64_t address, std::uint64_t size, std::uint64_t offset) {
    readings.push_back({batch.add("read memory from the image", SYS_pread64, page_file, address, size, offset), size});
  };
  auto run = space.pages.begin();
  for (const Mapping& mapping : space.mappings) {
    const auto first = run;
    while (run != space.pages.end() && run->address < mapping.end) {
      ++run;
    }
    const bool has_pages = run != first;
    const bool later = read_later(mapping, first, run);
    const std::size_t known_unread = unread.size();
    BEAM_TRY(make_room(mapping));
    map(batch, mapping, has_pages, file_numbers, shared_numbers);
    for (auto each = first; each != run; ++each) {
      if (later && each->size >= kLongRun && unread.size() < kMostUnread) {
        if (unread.size() == known_unread) {
          // What is written to before it is split stays one mapping, once its parts are alike again.
          read(each->address, kPage, each->offset);
        }
        unread.push_back({each->address, each->address + each->size, each->offset, mapping.start, mapping.end,
                          mapping.no_reserve, mapping.advice, mapping.name});
        continue;
      }
      constexpr std::uint64_t kMostAtOnce = 1ULL << 30;  // read(2) takes no more than 2 GiB
      for (std::uint64_t done = 0; done < each->size; done += kMostAtOnce) {
        BEAM_TRY(make_room(mapping));
        read(each->address + done, std::min(each->size - done, kMostAtOnce), each->offset + done);
      }
    }
    finish_mapping(batch, mapping, has_pages);
    for (std::size_t i = known_unread; i < unread.size(); ++i) {
      BEAM_TRY(make_room(mapping));
      const std::uint64_t flags = MAP_PRIVATE | MAP_FIXED | (mapping.no_reserve ? std::uint64_t{MAP_NORESERVE} : 0);
      batch.add("map memory from the image", SYS_mmap, unread[i].start, unread[i].end - unread[i].start,
                mapping.protection, flags, page_file, unread[i].offset);
    }
  }
  BEAM_TRY(run_batch());
  for (const MemoryArea& guard : space.guards) {
    BEAM_TRY(remote.call("guard memory", SYS_madvise, guard.address, guard.size, kGuardInstall));
  }
  BEAM_TRY(note_unread(remote, std::move(unread), std::move(pages)));
  BEAM_TRY(close_all_but_control(remote));
  return set_layout(remote, space.layout);
}

// Private memory alone has nothing that a mapping of the page file could not have until it has been read in
// (interpose/unread_memory.h): not a stack that grows, and not what is locked, sealed or emptied by a fork. What is
// executable, or may become so, could not be on a file system that is mounted without.
bool Restorer::read_later(const Mapping& mapping, PageRuns first, PageRuns last) const {
  constexpr std::uint64_t kWorthIt = 4UL << 20;  // bytes that take as long to read as reading them later costs
  std::uint64_t size = 0;
  for (auto run = first; run != last; ++run) {
    size += run->size;
  }
  return may_map_pages_ && !options_.eager && size >= kWorthIt && mapping.backing == Backing::kAnonymous &&
         !mapping.shared && !mapping.grows_down && !mapping.locked && !mapping.sealed &&
         (mapping.protection & PROT_EXEC) == 0 &&
         std::find(mapping.advice.begin(), mapping.advice.end(), MADV_WIPEONFORK) == mapping.advice.end();
}

void Restorer::finish_mapping(Batch& batch, const Mapping& mapping, bool has_pages) {
  const std::uint64_t size = mapping.end - mapping.start;
  if (has_pages && (mapping.protection & PROT_WRITE) == 0) {
    batch.add("protect memory", SYS_mprotect, mapping.start, size, mapping.protection);
  }
  for (const std::int32_t advice : mapping.advice) {
    batch.add("advise on memory", SYS_madvise, mapping.start, size, static_cast<std::uint64_t>(advice));
  }
  if (mapping.locked) {
    batch.add("lock memory", SYS_mlock2, mapping.start, size, mapping.locked_on_fault ? MLOCK_ONFAULT : 0U);
  }
  if (!mapping.name.empty()) {
    // A kernel without names for memory does without (CONFIG_ANON_VMA_NAME).
    batch.add(nullptr, SYS_prctl, static_cast<std::uint64_t>(PR_SET_VMA), PR_SET_VMA_ANON_NAME, mapping.start, size,
              batch.put_bytes(mapping.name.c_str(), mapping.name.size() + 1));
  }
  if (mapping.sealed) {
    batch.add("seal memory", kMseal, mapping.start, size, 0);
  }
}

Result<> Restorer::note_unread(Remote& remote, std::vector<interpose::UnreadRun> runs, UniqueFd pages) {
  if (runs.empty()) {
    return success();
  }
  struct stat info {};
  interpose::UnreadMemory unread;
  unread.identity = interpose::mapped_identity(remote.task().tid.value(), runs.front().start);
  if (::fstat(pages.get(), &info) != 0 || unread.identity.empty()) {
    return Error(ENOENT, "find what is mapped from the image");
  }
  unread.modified_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
  unread.file = std::make_shared<const UniqueFd>(std::move(pages));
  for (auto& run : runs) {
    unread.runs.emplace(run.start, std::move(run));
  }
  const std::unique_lock lock(tracer_.shared().tasks.mutex());
  remote.task().process->space->unread = std::move(unread);
  return success();
}

void Restorer::map(Batch& batch, const Mapping& mapping, bool has_pages, const std::map<std::uint32_t, int>& files,
                   const std::map<std::uint32_t, int>& shared) {
  std::uint64_t flags = MAP_FIXED_NOREPLACE | (mapping.shared ? MAP_SHARED : MAP_PRIVATE);
  flags |= mapping.grows_down ? MAP_GROWSDOWN | MAP_STACK : 0;
  flags |= mapping.no_reserve ? MAP_NORESERVE : 0;
  std::uint64_t fd = ~0ULL;
  switch (mapping.backing) {
    case Backing::kAnonymous:
      flags |= MAP_ANONYMOUS;
      break;
    case Backing::kFile:
      fd = static_cast<std::uint64_t>(files.at(inode_key(mapping)));
      break;
    case Backing::kSharedMemory:
      fd = static_cast<std::uint64_t>(shared.at(inode_key(mapping)));
      break;
    case Backing::kSysv:
      return;  // attached already
  }
  const std::uint64_t protection = mapping.protection | (has_pages && !mapping.shared ? PROT_WRITE : 0);
  batch.add("map memory", SYS_mmap, mapping.start, mapping.end - mapping.start, protection, flags, fd, mapping.offset);
}

Result<> Restorer::set_layout(Remote& remote, const MemoryLayout& layout) {
  struct {
    prctl_mm_map map;
    std::uint64_t vector[kLongestAuxiliaryVector];
  } request{};
  // The kernel's vDSO is another one now; the program only ever knew Beam's.
  std::size_t words = std::min(layout.auxiliary_vector.size(), kLongestAuxiliaryVector) & ~std::size_t{1};
  for (std::size_t i = 0; i < words; i += 2) {
    request.vector[i] = layout.auxiliary_vector[i];
    request.vector[i + 1] =
        layout.auxiliary_vector[i] == AT_SYSINFO_EHDR ? BEAM_AGENT_VDSO : layout.auxiliary_vector[i + 1];
  }
  const std::uint64_t vector_at = remote.scratch() + offsetof(decltype(request), vector);
  request.map = {layout.start_code,
                 layout.end_code,
                 layout.start_data,
                 layout.end_data,
                 layout.start_brk,
                 layout.brk,
                 layout.start_stack,
                 layout.arg_start,
                 layout.arg_end,
                 layout.env_start,
                 layout.env_end,
                 reinterpret_cast<__u64*>(vector_at),  // NOLINT: remote
                 static_cast<__u32>(words * sizeof(std::uint64_t)),
                 ~0U};
  BEAM_TRY_ASSIGN(const std::uint64_t at, remote.put(request));
  BEAM_TRY(remote.call("set the memory layout", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, at, sizeof request.map, 0));
  return success();
}

}  // namespace beam::migrate
