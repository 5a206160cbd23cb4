#include "migrate/memory_reader.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "migrate/kernel_structs.h"

namespace beam::migrate {
namespace {

constexpr std::uint64_t kPage = 4096;

std::string place(std::uint64_t address) {
  char text[32];
  std::snprintf(text, sizeof text, "memory at %lx", static_cast<unsigned long>(address));
  return text;
}

void append(std::vector<AddressRange>& ranges, std::uint64_t start, std::uint64_t end) {
  if (!ranges.empty() && ranges.back().second == start) {
    ranges.back().second = end;
  } else {
    ranges.emplace_back(start, end);
  }
}

}  // namespace

Result<MemoryReader> MemoryReader::open(HostPid tid) {
  const std::string directory = "/proc/" + std::to_string(tid.value());
  UniqueFd pagemap(::open((directory + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd memory(::open((directory + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  if (!pagemap || !memory) {
    return Error::from_errno("open the memory of task " + std::to_string(tid.value()));
  }
  return MemoryReader(tid, std::move(pagemap), std::move(memory));
}

Result<std::vector<AddressRange>> MemoryReader::private_pages(std::uint64_t start, std::uint64_t end,
                                                              std::vector<AddressRange>& guards) const {
  std::vector<AddressRange> ranges;
  std::array<PageRegion, 512> regions{};
  PageScan scan{};
  scan.size = sizeof scan;
  scan.end = end;
  scan.regions = reinterpret_cast<std::uint64_t>(regions.data());
  scan.region_count = regions.size();
  // Neither a file's page nor the zero page, and there at all.
  scan.category_inverted = kPageIsFile | kPageIsZeroPage;
  scan.category_mask = kPageIsFile | kPageIsZeroPage;
  scan.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
  scan.return_mask = kPageIsSwapped;
  while (start < end) {
    scan.start = start;
    const int count = ::ioctl(pagemap_.get(), kPagemapScan, &scan);
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno != ENOTTY) {
        return Error::from_errno("scan " + place(start));
      }
      BEAM_TRY(private_pages_by_entry(start, end, ranges, guards));
      return ranges;
    }
    for (int i = 0; i < count; ++i) {
      const PageRegion& region = regions[static_cast<std::size_t>(i)];
      if ((region.categories & kPageIsSwapped) != 0) {
        BEAM_TRY(private_pages_by_entry(region.start, region.end, ranges, guards));  // swapped out, or guarded
      } else {
        append(ranges, region.start, region.end);
      }
    }
    start = scan.walk_end;
  }
  return ranges;
}

// Before Linux 6.7: /proc/PID/pagemap, a word a page (admin-guide/mm/pagemap.rst).
Result<> MemoryReader::private_pages_by_entry(std::uint64_t start, std::uint64_t end, std::vector<AddressRange>& ranges,
                                              std::vector<AddressRange>& guards) const {
  constexpr std::uint64_t kGuard = 1ULL << 58;  // since Linux 6.15
  constexpr std::uint64_t kPresent = 1ULL << 63;
  constexpr std::uint64_t kSwapped = 1ULL << 62;
  constexpr std::uint64_t kFile = 1ULL << 61;
  std::array<std::uint64_t, 4096> entries{};
  while (start < end) {
    const std::uint64_t pages = std::min<std::uint64_t>((end - start) / kPage, entries.size());
    const ssize_t got = ::pread(pagemap_.get(), entries.data(), pages * sizeof entries[0],
                                static_cast<off_t>(start / kPage * sizeof entries[0]));
    if (got <= 0) {
      return Error::from_errno("scan " + place(start));
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(got) / sizeof entries[0]; ++i, start += kPage) {
      if ((entries[i] & kGuard) != 0) {
        append(guards, start, start + kPage);
      } else if ((entries[i] & (kPresent | kSwapped)) != 0 && (entries[i] & kFile) == 0) {
        append(ranges, start, start + kPage);
      }
    }
  }
  return success();
}

Result<> MemoryReader::copy(std::uint64_t start, std::uint64_t end, bool readable, ImageFileWriter& out) const {
  while (start < end) {
    BEAM_TRY_ASSIGN(const auto room, out.room());
    const std::size_t want = std::min<std::uint64_t>(end - start, room.size());
    const iovec local{room.data(), want};
    const iovec remote{reinterpret_cast<void*>(start), want};  // NOLINT: an address of another process
    // What the program itself can't read has to go by way of /proc/PID/mem, which may (proc(5)).
    const ssize_t got = readable ? ::process_vm_readv(tid_.value(), &local, 1, &remote, 1, 0)
                                 : ::pread(memory_.get(), room.data(), want, static_cast<off_t>(start));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return Error(got == 0 ? EIO : errno, "read " + place(start));
    }
    BEAM_TRY(out.append_room(static_cast<std::size_t>(got)));
    start += static_cast<std::uint64_t>(got);
  }
  return success();
}

Result<std::vector<AddressRange>> shared_pages(Remote& remote, std::uint64_t start, std::uint64_t end, bool swapped) {
  std::vector<AddressRange> ranges;
  if (swapped) {
    ranges.emplace_back(start, end);
    return ranges;
  }
  constexpr std::size_t kVector = 64UL << 10;  // a byte a page: 256 MiB at a time
  BEAM_TRY(remote.map_scratch(kVector));
  std::vector<unsigned char> resident(kVector);
  while (start < end) {
    const std::uint64_t pages = std::min<std::uint64_t>((end - start) / kPage, kVector);
    BEAM_TRY(remote.call("see which pages there are", SYS_mincore, start, pages * kPage, remote.scratch()));
    BEAM_TRY(remote.get_bytes(resident.data(), pages));
    for (std::size_t i = 0; i < pages; ++i, start += kPage) {
      if ((resident[i] & 1U) != 0) {
        append(ranges, start, start + kPage);
      }
    }
  }
  BEAM_TRY(remote.unmap_scratch());
  return ranges;
}

}  // namespace beam::migrate
