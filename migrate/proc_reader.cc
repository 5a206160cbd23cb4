#include "migrate/proc_reader.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "base/unique_fd.h"

namespace beam::migrate {
namespace {

std::string path_of(HostPid tid, const std::string& name) { return "/proc/" + std::to_string(tid.value()) + "/" + name; }

// maps and smaps escape a newline in a file's name, and nothing else (fs/proc/task_mmu.c show_map_vma).
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 4) == "\\012") {
      plain += '\n';
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::optional<MemoryRange> parse_range(std::string_view line) {
  MemoryRange range;
  char permissions[5] = {};
  int path_at = -1;
  const std::string text(line);
  if (std::sscanf(text.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &range.start, &range.end,
                  permissions, &range.offset, &range.device_major, &range.device_minor, &range.inode, &path_at) < 7) {
    return std::nullopt;
  }
  range.protection = (permissions[0] == 'r' ? PROT_READ : 0U) | (permissions[1] == 'w' ? PROT_WRITE : 0U) |
                     (permissions[2] == 'x' ? PROT_EXEC : 0U);
  range.shared = permissions[3] == 's';
  if (path_at > 0) {
    range.path = unescape(std::string_view(text).substr(static_cast<std::size_t>(path_at)));
    constexpr std::string_view kDeleted = " (deleted)";
    if (range.inode != 0 && range.path.ends_with(kDeleted)) {
      range.path.resize(range.path.size() - kDeleted.size());
      range.deleted = true;
    }
  }
  return range;
}

}  // namespace

Result<std::string> read_proc_file(HostPid tid, const std::string& name) {
  const std::string path = path_of(tid, name);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return Error::from_errno("open " + path);
  }
  std::string text;
  for (;;) {
    constexpr std::size_t kChunk = 64 << 10;
    const std::size_t filled = text.size();
    text.resize(filled + kChunk);
    const ssize_t got = ::read(fd.get(), text.data() + filled, kChunk);
    text.resize(filled + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Error::from_errno("read " + path);
    }
    if (got == 0) {
      return text;
    }
  }
}

Result<std::string> read_proc_link(HostPid tid, const std::string& name) {
  const std::string path = path_of(tid, name);
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) {
    return Error::from_errno("read link " + path);
  }
  target.resize(static_cast<std::size_t>(size));
  return target;
}

Result<ProcStatFields> ProcStatFields::read(HostPid tid) {
  BEAM_TRY_ASSIGN(const std::string text, read_proc_file(tid, "stat"));
  ProcStatFields stat;
  // The name in parentheses may hold anything, parentheses included: the last one ends it.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 3 >= text.size()) {
    return Error(EPROTO, "read " + path_of(tid, "stat"));
  }
  stat.state_ = text[name_end + 2];
  const char* at = text.data() + name_end + 3;
  const char* const end = text.data() + text.size();
  while (at < end) {
    if (*at == ' ' || *at == '\n') {
      ++at;
      continue;
    }
    std::uint64_t value = 0;
    if (*at == '-') {
      std::int64_t negative = 0;
      at = std::from_chars(at, end, negative).ptr;
      value = static_cast<std::uint64_t>(negative);
    } else {
      const auto parsed = std::from_chars(at, end, value);
      if (parsed.ptr == at) {
        break;
      }
      at = parsed.ptr;
    }
    stat.fields_.push_back(value);
  }
  return stat;
}

std::uint64_t ProcStatFields::field(std::size_t number) const {
  constexpr std::size_t kFirst = 4;
  return number >= kFirst && number - kFirst < fields_.size() ? fields_[number - kFirst] : 0;
}

bool MemoryRange::has(std::string_view flag) const { return flags.find(std::string(flag) + " ") != std::string::npos; }

Result<std::vector<MemoryRange>> read_memory_ranges(HostPid tid) {
  BEAM_TRY_ASSIGN(const std::string text, read_proc_file(tid, "smaps"));
  std::vector<MemoryRange> ranges;
  std::string_view rest = text;
  constexpr std::string_view kFlags = "VmFlags: ";
  constexpr std::string_view kSwap = "Swap:";
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.starts_with(kFlags)) {
      if (ranges.empty()) {
        return Error(EPROTO, "read " + path_of(tid, "smaps"));
      }
      ranges.back().flags = std::string(line.substr(kFlags.size())) + " ";
    } else if (line.starts_with(kSwap) && !ranges.empty()) {
      ranges.back().swapped = line.find_first_of("123456789") != std::string_view::npos;
    } else if (!line.empty() && line.front() >= 'A' && line.front() <= 'Z') {
      continue;  // "Size: 4 kB" and its like; a range's line starts with a lower-case hexadecimal digit
    } else if (auto range = parse_range(line)) {
      ranges.push_back(std::move(*range));
    } else {
      return Error(EPROTO, "read " + path_of(tid, "smaps"));
    }
  }
  return ranges;
}

}  // namespace beam::migrate
