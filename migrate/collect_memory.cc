// Address spaces: what is mapped where, and the contents that are nowhere but in memory.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "interpose/agent/layout.h"
#include "migrate/collector.h"
#include "migrate/image_path.h"
#include "migrate/kernel_structs.h"
#include "migrate/memory_reader.h"

namespace beam::migrate {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kWorthATwin = 4 << 20;  // bytes to copy that take as long as a fork

struct Advice {
  const char* flag;  // in VmFlags
  std::int32_t advice;
};
constexpr Advice kAdvice[] = {
    {"rr", MADV_RANDOM},   {"sr", MADV_SEQUENTIAL}, {"dc", MADV_DONTFORK},  {"dd", MADV_DONTDUMP},
    {"hg", MADV_HUGEPAGE}, {"nh", MADV_NOHUGEPAGE}, {"mg", MADV_MERGEABLE}, {"wf", MADV_WIPEONFORK},
};

struct Refused {
  const char* flag;
  const char* reason;
};
constexpr Refused kRefused[] = {
    {"ht", "huge pages of hugetlbfs can't be frozen yet"},
    {"um", "it is registered with userfaultfd"},
    {"uw", "it is registered with userfaultfd"},
    {"ui", "it is registered with userfaultfd"},
    {"ss", "it is a shadow stack"},
    {"io", "it is a device's memory"},
    {"pf", "it is a device's memory"},
};

// What the kernel and Beam map into every process: not the program's.
bool not_the_programs(const MemoryRange& range) {
  return (range.start < BEAM_AGENT_END && range.end > BEAM_AGENT_BASE) || range.path == "[vdso]" ||
         range.path == "[vvar]" || range.path == "[vvar_vclock]" || range.path == "[vsyscall]";
}

}  // namespace

Result<> Collector::address_space(Remote& remote, VirtualPid vpid, AddressSpaceState& space) {
  const HostPid tid = remote.task().tid;
  BEAM_TRY_ASSIGN(const auto ranges, read_memory_ranges(tid));
  for (const MemoryRange& range : ranges) {
    if (not_the_programs(range)) {
      continue;
    }
    Mapping state;
    BEAM_TRY_ASSIGN(const bool kept, mapping(vpid, remote.task(), range, state));
    if (kept) {
      space.mappings.push_back(std::move(state));
    }
  }
  BEAM_TRY(memory_layout(remote, space.layout));
  return success();
}

Result<bool> Collector::mapping(VirtualPid vpid, const interpose::Task& task, const MemoryRange& range,
                                Mapping& mapping) {
  const auto refuse = [&](const std::string& reason) {
    char place[64];
    std::snprintf(place, sizeof place, "memory %lx-%lx", static_cast<unsigned long>(range.start),
                  static_cast<unsigned long>(range.end));
    obstacle(vpid, range.path.empty() ? place : std::string(place) + " (" + range.path + ")", reason);
    return false;
  };
  for (const Refused& refused : kRefused) {
    if (range.has(refused.flag)) {
      return refuse(refused.reason);
    }
  }
  if (range.path == "/[aio]") {
    return refuse("a context of asynchronous I/O (io_setup) can't be frozen yet");
  }
  mapping.start = range.start;
  mapping.end = range.end;
  mapping.protection = range.protection;
  mapping.shared = range.has("ms");
  mapping.may_write = range.has("mw");
  mapping.grows_down = range.has("gd");
  mapping.no_reserve = range.has("nr");
  mapping.locked = range.has("lo");
  mapping.locked_on_fault = range.has("lf");
  mapping.sealed = range.has("sl");
  for (const Advice& advice : kAdvice) {
    if (range.has(advice.flag)) {
      mapping.advice.push_back(advice.advice);
    }
  }
  constexpr std::string_view kNamed = "[anon:";
  if (range.path.starts_with(kNamed)) {
    mapping.name = range.path.substr(kNamed.size(), range.path.size() - kNamed.size() - 1);
  }
  const bool zero_device = range.path == "/dev/zero";
  if (range.inode == 0 || (zero_device && !mapping.shared)) {
    mapping.backing = Backing::kAnonymous;
    return true;
  }
  mapping.offset = range.offset;
  constexpr std::string_view kMemfd = "/memfd:";
  if (range.deleted && range.path.starts_with("/SYSV")) {
    // Its inode's number is the workstation's id (ipc/shm.c newseg).
    const auto object = sandbox_.shared().sysv.find_host(interpose::SysvKind::kShm, static_cast<int>(range.inode));
    if (!object) {
      return refuse("it is not the sandbox's");
    }
    const auto all = sandbox_.shared().sysv.all(interpose::SysvKind::kShm);
    mapping.backing = Backing::kSysv;
    mapping.file = static_cast<std::uint32_t>(
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.id == object->id; }) - all.begin());
    return true;
  }
  if (range.deleted) {
    const bool memfd = range.path.starts_with(kMemfd);
    const InodeKey key(::makedev(range.device_major, range.device_minor), range.inode);
    if (!zero_device && !memfd && !mapping.shared && !inode_indices_.contains(key)) {
      // Nobody else can see it: the bytes are all that is left of the file.
      mapping.backing = Backing::kAnonymous;
      mapping.offset = 0;
      whole_mappings_.insert({state_.address_spaces.size(), range.start});  // the next of them
      return true;
    }
    mapping.backing = Backing::kSharedMemory;
    mapping.file = inode_index(key,
                               zero_device ? InodeKind::kAnonymous
                               : memfd     ? InodeKind::kMemfd
                                           : InodeKind::kDeletedFile,
                               zero_device ? ""
                               : memfd     ? range.path.substr(kMemfd.size())
                                           : range.path);
    KeptInode& inode = inodes_[mapping.file];
    inode.mappings.push_back({&task, range});
    if (!inode.fd) {
      SharedMemoryState& memory = state_.shared_memory[mapping.file];
      memory.size = std::max(memory.size, range.offset + (range.end - range.start));
    }
    return true;
  }
  struct stat info {};
  if (range.path.empty() || range.path.front() != '/' || ::stat(range.path.c_str(), &info) != 0 ||
      info.st_ino != range.inode || !S_ISREG(info.st_mode)) {
    return refuse("its path does not lead to the mapped file");
  }
  mapping.backing = Backing::kFile;
  const auto [known, fresh] = mapped_files_.emplace(range.path, static_cast<std::uint32_t>(state_.mapped_files.size()));
  if (fresh) {
    state_.mapped_files.push_back({to_image_path(sandbox_.shared(), range.path),
                                   static_cast<std::uint64_t>(info.st_size),
                                   info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec});
  }
  mapping.file = known->second;
  return true;
}

Result<> Collector::memory_layout(Remote& remote, MemoryLayout& layout) {
  const HostPid tid = remote.task().tid;
  BEAM_TRY_ASSIGN(const auto stat, ProcStatFields::read(tid));
  layout.start_code = stat.field(26);
  layout.end_code = stat.field(27);
  layout.start_stack = stat.field(28);
  layout.start_data = stat.field(45);
  layout.end_data = stat.field(46);
  layout.start_brk = stat.field(47);
  layout.arg_start = stat.field(48);
  layout.arg_end = stat.field(49);
  layout.env_start = stat.field(50);
  layout.env_end = stat.field(51);
  BEAM_TRY_ASSIGN(layout.brk, remote.call("read brk", SYS_brk, 0));
  BEAM_TRY_ASSIGN(const std::string vector, read_proc_file(tid, "auxv"));
  layout.auxiliary_vector.resize(vector.size() / sizeof(std::uint64_t));
  std::memcpy(layout.auxiliary_vector.data(), vector.data(), layout.auxiliary_vector.size() * sizeof(std::uint64_t));
  return success();
}

// One page file for all address spaces: each file costs a flush to the disk.
Result<> Collector::private_pages(const interpose::Task& task, std::size_t index, ImageFileWriter& out) {
  AddressSpaceState& space = state_.address_spaces[index];
  BEAM_TRY_ASSIGN(auto reader, MemoryReader::open(task.tid));
  struct Found {
    const Mapping* mapping;
    AddressRange range;
  };
  std::vector<Found> found;
  std::uint64_t total = 0;
  for (const Mapping& mapping : space.mappings) {
    if (mapping.shared) {
      continue;
    }
    if (whole_mappings_.contains({index, mapping.start})) {
      found.push_back({&mapping, {mapping.start, mapping.end}});
      continue;
    }
    std::vector<AddressRange> guards;
    BEAM_TRY_ASSIGN(const auto regions, reader.private_pages(mapping.start, mapping.end, guards));
    for (const auto& [start, end] : guards) {
      space.guards.push_back({start, end - start});
    }
    for (const auto& range : regions) {
      found.push_back({&mapping, range});
      total += range.second - range.first;
    }
  }
  std::optional<LaterPages> later;
  if (!context_.ends && total >= kWorthATwin) {
    BEAM_TRY_ASSIGN(auto twin, twin_of(task));
    if (twin) {
      later = LaterPages{std::move(*twin), index, {}};
    }
  }
  for (const auto& [mapping, range] : found) {
    const bool readable = (mapping->protection & PROT_READ) != 0;
    const bool copied_by_fork = !whole_mappings_.contains({index, mapping->start}) &&
                                std::none_of(mapping->advice.begin(), mapping->advice.end(), [](std::int32_t advice) {
                                  return advice == MADV_DONTFORK || advice == MADV_WIPEONFORK;
                                });
    space.pages.push_back({range.first, range.second - range.first, out.size()});
    if (later && copied_by_fork) {
      later->runs.push_back({space.pages.size() - 1, readable});
    } else {
      BEAM_TRY(reader.copy(range.first, range.second, readable, out));
    }
  }
  if (later) {
    later_.push_back(std::move(*later));
  }
  return success();
}

// Nothing where the copy has to be made at once: a thread that is stopped by a signal is not to be moved.
Result<std::optional<Twin>> Collector::twin_of(const interpose::Task& task) {
  if (task.held_stop_signal != 0 || task.vfork_child != VirtualPid()) {
    return std::optional<Twin>();
  }
  // The kernel gives orphans to the nearest subreaper, which is to be the supervisor.
  BEAM_TRY(set_subreapers(false));
  auto twin = Twin::make(task);
  BEAM_TRY(set_subreapers(true));
  if (!twin.ok()) {
    BEAM_LOG_INFO(kMigrate, "the sandbox stops for longer: {}", twin.error().message());
    return std::optional<Twin>();
  }
  return std::optional<Twin>(std::move(*twin));
}

Result<> Collector::set_subreapers(bool on) {
  for (const ProcessState& process : state_.processes) {
    if (!process.subreaper || process.wait_status) {
      continue;
    }
    for (const LiveProcess& live : live_processes()) {
      if (live.process->vpid == VirtualPid(process.vpid)) {
        Remote remote(*live.tasks.front());
        BEAM_TRY(remote.call("set the subreaper attribute", SYS_prctl, PR_SET_CHILD_SUBREAPER, on ? 1 : 0));
      }
    }
  }
  return success();
}

Result<> finish_later(Collector::Later& later, ImageWriter& image) {
  for (Collector::LaterPages& pages : later.pages) {
    BEAM_TRY_ASSIGN(auto reader, MemoryReader::open(pages.twin.host()));
    for (const auto& run : pages.runs) {
      PageRun& to = later.state.address_spaces[pages.space].pages[run.index];
      to.offset = later.page_file->size();
      BEAM_TRY(reader.copy(to.address, to.address + to.size, run.readable, *later.page_file));
    }
  }
  if (later.page_file) {
    BEAM_TRY(image.add(std::move(*later.page_file)));
    later.page_file.reset();
  }
  return image.write_objects(later.state);
}

}  // namespace beam::migrate
