#include "interpose/unread_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <unordered_set>

#include "base/log.h"
#include "interpose/agent/layout.h"
#include "interpose/call.h"
#include "interpose/quiesce.h"

namespace beam::interpose {
namespace {

#ifndef PR_SET_VMA
constexpr int PR_SET_VMA = 0x53564d41;
constexpr int PR_SET_VMA_ANON_NAME = 0;
#endif
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kPiece = 2UL << 20;       // read in at once: a huge page, and no more than a cache holds
constexpr std::uint64_t kReadAhead = 32UL << 20;  // bytes

struct MappedPart {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;
  std::uint64_t protection = 0;
  bool of_page_file = false;
};

std::uint64_t take_number(std::string_view& text, int base) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
  text.remove_prefix(std::min<std::size_t>(static_cast<std::size_t>(parsed.ptr - text.data()) + 1, text.size()));
  return value;
}

// A line of /proc/PID/maps: "start-end rwxp offset major:minor inode   path".
MappedPart parse_part(std::string_view line, std::string& identity) {
  MappedPart part;
  part.start = take_number(line, 16);
  part.end = take_number(line, 16);
  constexpr std::size_t kLetters = 5;
  if (line.size() < kLetters) {
    return {};
  }
  part.protection =
      (line[0] == 'r' ? PROT_READ : 0U) | (line[1] == 'w' ? PROT_WRITE : 0U) | (line[2] == 'x' ? PROT_EXEC : 0U);
  line.remove_prefix(kLetters);
  part.offset = take_number(line, 16);
  const auto device_end = line.find(' ');
  const auto inode_end = device_end == std::string_view::npos ? device_end : line.find(' ', device_end + 1);
  identity = line.substr(0, inode_end);
  return part;
}

std::vector<MappedPart> parts_of(HostPid tid, const std::string& page_file) {
  std::vector<MappedPart> parts;
  std::ifstream file("/proc/" + std::to_string(tid.value()) + "/maps");
  std::string identity;
  for (std::string line; std::getline(file, line);) {
    parts.push_back(parse_part(line, identity));
    parts.back().of_page_file = identity == page_file;
  }
  return parts;
}

std::int64_t modified_ns(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec : 0;
}

bool read_whole(int fd, char* to, std::size_t size, std::uint64_t offset) {
  while (size > 0) {
    const ssize_t got = ::pread(fd, to, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      errno = got == 0 ? EIO : errno;
      return false;
    }
    to += got;
    offset += static_cast<std::uint64_t>(got);
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

// Reads into one address space, by way of one of its tasks.
class Reading {
 public:
  Reading(const UnreadMemory& unread, const Task& task)
      : file_(unread.file->get()), tracee_(task.tid), buffer_(kPiece), parts_(parts_of(task.tid, unread.identity)) {
    const std::string directory = "/proc/" + std::to_string(task.tid.value());
    pagemap_.reset(::open((directory + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC));
    memory_.reset(::open((directory + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
    for (const MappedPart& part : parts_) {
      if (!part.of_page_file) {
        starts_.insert(part.start);
        ends_.insert(part.end);
      }
    }
  }

  // The next piece of what of the run is still mapped from the page file and reaches into the range; or, empty: nothing
  // does.
  struct Piece {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t protection = 0;
  };
  [[nodiscard]] Piece next_piece(const UnreadRun& run, std::uint64_t start, std::uint64_t end) const {
    std::vector<Piece> chain;  // parts without a gap
    auto part = std::upper_bound(parts_.begin(), parts_.end(), run.start,
                                 [](std::uint64_t address, const MappedPart& each) { return address < each.end; });
    for (; part != parts_.end() && part->start < run.end; ++part) {
      const std::uint64_t from = std::max(run.start, part->start);
      if (!part->of_page_file || part->offset + (from - part->start) != run.offset + (from - run.start)) {
        continue;
      }
      if (!chain.empty() && chain.back().end != from) {
        if (chain.back().end > start) {
          break;
        }
        chain.clear();
      }
      chain.push_back({from, std::min(run.end, part->end), part->protection});
    }
    if (chain.empty() || chain.back().end <= start || chain.front().start >= end) {
      return {};
    }
    const Piece& first = chain.front();
    const Piece& last = chain.back();
    const bool on_the_left = first.start > run.mapping_start && ends_.contains(first.start);
    const bool on_the_right = last.end < run.mapping_end && starts_.contains(last.end);
    if (on_the_left || !on_the_right) {
      return {first.start, std::min(first.end, (first.start / kPiece + 1) * kPiece), first.protection};
    }
    return {std::max(last.start, (last.end - 1) / kPiece * kPiece), last.end, last.protection};
  }

  Result<> read(const UnreadRun& run, const Piece& piece) {
    BEAM_TRY(replace(run, piece.start, piece.end, piece.protection));
    starts_.insert(piece.start);
    ends_.insert(piece.end);
    return success();
  }

 private:
  static Error fault(const char* what) { return Error::from_errno(std::string("read memory in: ") + what); }

  Result<std::int64_t> call(const char* what, long number, const std::array<std::uint64_t, 6>& args) {
    BEAM_TRY_ASSIGN(const std::int64_t result, tracee_.inject(BEAM_AGENT_GADGET, number, args));
    if (!tracee_.flush_regs()) {
      return Error(ESRCH, what);
    }
    if (result < 0 && result >= -4095) {
      return Error(static_cast<int>(-result), what);
    }
    return result;
  }

  Result<> replace(const UnreadRun& run, std::uint64_t start, std::uint64_t end, std::uint64_t protection) {
    const std::size_t size = end - start;
    // All is at hand before anything is changed.
    if (!read_whole(file_, buffer_.data(), size, run.offset + (start - run.start))) {
      return fault("its page file");
    }
    BEAM_TRY(overlay_own_pages(start, size));
    constexpr std::uint64_t kWritable = PROT_READ | PROT_WRITE;
    const std::uint64_t flags =
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (run.no_reserve ? std::uint64_t{MAP_NORESERVE} : 0);
    BEAM_TRY(call("map memory", SYS_mmap, {start, size, kWritable, flags, ~0ULL, 0}));
    for (const std::int32_t advice : run.advice) {
      BEAM_TRY(call("advise on memory", SYS_madvise, {start, size, static_cast<std::uint64_t>(advice), 0, 0, 0}));
    }
    const GuestMemory memory = tracee_.memory();
    if (!run.name.empty() && memory.write(start, run.name.c_str(), run.name.size() + 1) == 0) {
      // A kernel without names for memory does without. The name stands where the contents are about to be.
      BEAM_TRY(tracee_.inject(BEAM_AGENT_GADGET, SYS_prctl, {PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, size, start, 0}));
      tracee_.flush_regs();
    }
    if (const int error = memory.write(start, buffer_.data(), size); error != 0) {
      return Error(error, "fill memory");
    }
    if (protection != kWritable) {
      BEAM_TRY(call("protect memory", SYS_mprotect, {start, size, protection, 0, 0, 0}));
    }
    return success();
  }

  // Pages that the program has written to are its own already (admin-guide/mm/pagemap.rst).
  Result<> overlay_own_pages(std::uint64_t start, std::size_t size) {
    constexpr std::uint64_t kThere = 3ULL << 62;  // present, or swapped out
    constexpr std::uint64_t kOfFile = 1ULL << 61;
    std::array<std::uint64_t, kPiece / kPage> entries{};
    const std::size_t pages = size / kPage;
    if (!read_whole(pagemap_.get(), reinterpret_cast<char*>(entries.data()), pages * sizeof entries[0],
                    start / kPage * sizeof entries[0])) {
      return fault("its state");
    }
    const auto own = [&](std::size_t page) { return (entries[page] & kThere) != 0 && (entries[page] & kOfFile) == 0; };
    for (std::size_t page = 0; page < pages;) {
      if (!own(page)) {
        ++page;
        continue;
      }
      const std::size_t first = page;
      while (page < pages && own(page)) {
        ++page;
      }
      if (!read_whole(memory_.get(), buffer_.data() + first * kPage, (page - first) * kPage, start + first * kPage)) {
        return fault("what was written to it");
      }
    }
    return success();
  }

  int file_;
  StoppedTracee tracee_;
  UniqueFd pagemap_;
  UniqueFd memory_;
  std::vector<char> buffer_;
  std::vector<MappedPart> parts_;
  // Of what is private memory already.
  std::unordered_set<std::uint64_t> starts_;
  std::unordered_set<std::uint64_t> ends_;
};

// From `start` up to `end` nothing is unread any more.
void forget(std::map<std::uint64_t, UnreadRun>& runs, std::uint64_t start, std::uint64_t end) {
  auto each = runs.upper_bound(start);
  each = each == runs.begin() ? each : std::prev(each);
  while (each != runs.end() && each->first < end) {
    UnreadRun run = each->second;
    if (run.end <= start) {
      ++each;
      continue;
    }
    each = runs.erase(each);
    if (run.end > end) {
      UnreadRun rest = run;
      rest.offset += end - run.start;
      rest.start = end;
      runs.emplace_hint(each, end, std::move(rest));
    }
    if (run.start < start) {
      run.end = start;
      runs.emplace(run.start, std::move(run));
    }
  }
}

// The first run that reaches into the range.
std::map<std::uint64_t, UnreadRun>::const_iterator first_in(const std::map<std::uint64_t, UnreadRun>& runs,
                                                            std::uint64_t start, std::uint64_t end) {
  auto run = runs.upper_bound(start);
  if (run != runs.begin() && std::prev(run)->second.end > start) {
    --run;
  }
  return run != runs.end() && run->first < end ? run : runs.end();
}

const Task* task_in(QuiescedSandbox& sandbox, const AddressSpace& space) {
  for (const Task* task : sandbox.tasks()) {
    if (task->process->space.get() == &space) {
      return task;
    }
  }
  return nullptr;
}

using Clock = std::chrono::steady_clock;

// True: nothing there is unread any more.
Result<bool> read_range(QuiescedSandbox& sandbox, AddressSpace& space, std::uint64_t start, std::uint64_t end,
                        std::optional<Clock::time_point> give_up) {
  if (!space.unread) {
    return true;
  }
  UnreadMemory& unread = *space.unread;
  if (modified_ns(unread.file->get()) != unread.modified_ns) {
    BEAM_LOG_ERROR(kInterpose, "the page file of the image was written to before all of it had been read");
    unread.modified_ns = modified_ns(unread.file->get());
  }
  const auto done = [&](std::uint64_t from, std::uint64_t to) {
    const std::unique_lock lock(sandbox.shared().tasks.mutex());
    forget(unread.runs, from, to);
  };
  const Task* task = task_in(sandbox, space);
  if (task == nullptr) {
    done(0, UINT64_MAX);  // nobody is left to read it for
  }
  std::optional<Reading> reading;
  for (auto run = first_in(unread.runs, start, end); run != unread.runs.end();
       run = first_in(unread.runs, start, end)) {
    if (!reading) {
      reading.emplace(unread, *task);
    } else if (give_up && Clock::now() >= *give_up) {
      return false;
    }
    const Reading::Piece piece = reading->next_piece(run->second, start, end);
    if (piece.end == 0) {  // the program has unmapped it
      done(std::max(start, run->second.start), std::min(end, run->second.end));
      continue;
    }
    auto replaced = reading->read(run->second, piece);
    // Where it can't be read, it is not to be tried for ever: it stays what it is.
    done(piece.start, piece.end);
    BEAM_TRY(std::move(replaced));
  }
  if (unread.runs.empty()) {
    const std::unique_lock lock(sandbox.shared().tasks.mutex());
    space.unread.reset();
  }
  return true;
}

std::vector<std::shared_ptr<AddressSpace>> unread_spaces(const Shared& shared) {
  std::vector<std::shared_ptr<AddressSpace>> spaces;
  for (const auto& [host, process] : shared.tasks.processes()) {
    if (process->space && process->space->unread &&
        std::find(spaces.begin(), spaces.end(), process->space) == spaces.end()) {
      spaces.push_back(process->space);
    }
  }
  return spaces;
}

}  // namespace

std::string mapped_identity(int tid, std::uint64_t address) {
  std::ifstream file("/proc/" + std::to_string(tid) + "/maps");
  std::string identity;
  for (std::string line; std::getline(file, line);) {
    const MappedPart part = parse_part(line, identity);
    if (part.start <= address && address < part.end) {
      return identity.ends_with(" 0") ? "" : identity;
    }
  }
  return "";
}

namespace {

// Of whole pages.
UnreadRange widened(const UnreadMemory& unread, UnreadRange range) {
  UnreadRange wide{range.start / kPage * kPage,
                   range.end > UINT64_MAX - kPage ? UINT64_MAX : (range.end + kPage - 1) / kPage * kPage,
                   range.whole_mappings};
  if (range.whole_mappings) {
    for (const auto& [at, run] : unread.runs) {
      if (run.mapping_start < range.end && run.mapping_end > range.start) {
        wide.start = std::min(wide.start, run.mapping_start);
        wide.end = std::max(wide.end, run.mapping_end);
      }
    }
  }
  return wide;
}

bool has_unread(const AddressSpace& space, UnreadRange range) {
  if (!space.unread) {
    return false;
  }
  const UnreadRange wide = widened(*space.unread, range);
  return first_in(space.unread->runs, wide.start, wide.end) != space.unread->runs.end();
}

}  // namespace

bool is_unread(const Shared& shared, const Process& process, UnreadRange range) {
  const std::shared_lock lock(shared.tasks.mutex());
  return process.space != nullptr && has_unread(*process.space, range);
}

Result<> read_in(QuiescedSandbox& sandbox, AddressSpace& space, UnreadRange range) {
  if (space.unread) {
    const UnreadRange wide = widened(*space.unread, range);
    BEAM_TRY(read_range(sandbox, space, wide.start, wide.end, std::nullopt));
  }
  return success();
}

std::optional<Rewrite> read_in_first(RewriteCall& call, const Process& process, UnreadRange range) {
  if (process.space == nullptr || !has_unread(*process.space, range)) {
    return std::nullopt;
  }
  call.tracer().post([space = process.space, range](Tracer& tracer) {
    if (!has_unread(*space, range)) {
      return;
    }
    const auto sandbox = QuiescedSandbox::begin(tracer);
    const auto done = sandbox.ok() ? read_in(**sandbox, *space, range) : Result<>(sandbox.error());
    if (!done.ok()) {
      BEAM_LOG_ERROR(kInterpose, "{}", done.error().message());
    }
  });
  return Rewrite::make_again(call);
}

Result<bool> read_in_until(QuiescedSandbox& sandbox, Clock::time_point give_up) {
  for (const auto& space : unread_spaces(sandbox.shared())) {
    BEAM_TRY_ASSIGN(const bool all, read_range(sandbox, *space, 0, UINT64_MAX, give_up));
    if (!all) {
      return false;
    }
  }
  return true;
}

Result<> read_in_all(QuiescedSandbox& sandbox) {
  BEAM_TRY(read_in_until(sandbox, Clock::time_point::max()));
  return success();
}

bool read_ahead(const Shared& shared) {
  const std::shared_lock lock(shared.tasks.mutex());
  const auto spaces = unread_spaces(shared);
  if (spaces.empty()) {
    return false;
  }
  const UnreadMemory& unread = *spaces.front()->unread;
  std::uint64_t left = kReadAhead;
  for (auto run = unread.runs.begin(); run != unread.runs.end() && left > 0; ++run) {
    const std::uint64_t size = std::min(left, run->second.end - run->first);
    ::posix_fadvise(unread.file->get(), static_cast<off_t>(run->second.offset), static_cast<off_t>(size),
                    POSIX_FADV_WILLNEED);
    left -= size;
  }
  return true;
}

}  // namespace beam::interpose
