// Finding and reading the pages of a frozen process whose contents are nowhere but in memory.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "migrate/image.h"
#include "migrate/remote.h"

namespace beam::migrate {

using AddressRange = std::pair<std::uint64_t, std::uint64_t>;  // from, to

class MemoryReader {
 public:
  static Result<MemoryReader> open(HostPid tid);

  // Pages of a private mapping that were written to (or swapped out since): not those of the file below, not the zero
  // page. Guarded pages (MADV_GUARD_INSTALL) go to `guards`: they have no contents.
  [[nodiscard]] Result<std::vector<AddressRange>> private_pages(std::uint64_t start, std::uint64_t end,
                                                                std::vector<AddressRange>& guards) const;
  // Appends a range to a page file.
  Result<> copy(std::uint64_t start, std::uint64_t end, bool readable, ImageFileWriter& out) const;

 private:
  MemoryReader(HostPid tid, UniqueFd pagemap, UniqueFd memory)
      : tid_(tid), pagemap_(std::move(pagemap)), memory_(std::move(memory)) {}
  Result<> private_pages_by_entry(std::uint64_t start, std::uint64_t end, std::vector<AddressRange>& ranges,
                                  std::vector<AddressRange>& guards) const;

  HostPid tid_;
  UniqueFd pagemap_;
  UniqueFd memory_;
};

// Pages of a shared mapping that exist. `swapped`: some are in swap, where only reading finds them.
[[nodiscard]] Result<std::vector<AddressRange>> shared_pages(Remote& remote, std::uint64_t start, std::uint64_t end,
                                                             bool swapped);

}  // namespace beam::migrate
