// What /proc tells about a frozen task (proc(5)), in the terms of an image. Named by thread id: the leader may be a zombie.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace beam::migrate {

[[nodiscard]] Result<std::string> read_proc_file(HostPid tid, const std::string& name);
[[nodiscard]] Result<std::string> read_proc_link(HostPid tid, const std::string& name);

// /proc/TID/stat by the numbers of proc(5): field(3) is the state. Numbers only from there on.
class ProcStatFields {
 public:
  static Result<ProcStatFields> read(HostPid tid);
  [[nodiscard]] std::uint64_t field(std::size_t number) const;
  [[nodiscard]] char state() const { return state_; }

 private:
  char state_ = '?';
  std::vector<std::uint64_t> fields_;  // from 4 on
};

// One entry of /proc/TID/smaps.
struct MemoryRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint32_t protection = 0;
  bool shared = false;
  std::uint64_t offset = 0;
  unsigned device_major = 0;
  unsigned device_minor = 0;
  std::uint64_t inode = 0;
  std::string path;
  bool deleted = false;
  bool swapped = false;  // some of it is in swap
  std::string flags;  // VmFlags, two letters each, as "rd wr mr "

  [[nodiscard]] bool has(std::string_view flag) const;
};
[[nodiscard]] Result<std::vector<MemoryRange>> read_memory_ranges(HostPid tid);

}  // namespace beam::migrate
