// What an image's state says must hold together before anything is made of it. An image may come from a stranger.
#include <sys/user.h>

#include <algorithm>
#include <set>
#include <string>

#include "interpose/agent/layout.h"
#include "migrate/image.h"
#include "migrate/object_kind.h"

namespace beam::migrate {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kAddressLimit = 1ULL << 47;  // TASK_SIZE of four-level paging, which mmap(2) keeps to by itself
constexpr std::int32_t kLargestPid = 4194304;        // PID_MAX_LIMIT
constexpr std::int32_t kLargestDescriptor = 1 << 30;

class Checker {
 public:
  Checker(const SandboxState& state, const Manifest& manifest) : state_(state), manifest_(manifest) {}

  Result<> run() {
    for (const ObjectRecord& object : state_.objects) {
      if (!objects_.insert(object.id).second) {
        return damaged("object " + std::to_string(object.id) + " is there twice");
      }
      if (find_kind(object.kind) == nullptr) {
        return damaged("object " + std::to_string(object.id) + " is of the unknown kind '" + object.kind + "'");
      }
    }
    const ImageFacts facts{objects_, state_.shared_memory.size()};
    for (const ObjectRecord& object : state_.objects) {
      auto checked = find_kind(object.kind)->check(object.state, facts);
      if (!checked.ok()) {
        return std::move(checked).error().context("object " + std::to_string(object.id) + " (" + object.kind + ")");
      }
    }
    for (const SharedMemoryState& memory : state_.shared_memory) {
      if (memory.size > kAddressLimit || (memory.kind == InodeKind::kAnonymous && memory.size % kPage != 0)) {
        return damaged("shared memory has an impossible size");
      }
      BEAM_TRY(pages(memory.page_file, memory.pages));
      for (const PageRun& run : memory.pages) {
        if (run.address + run.size > (memory.size + kPage - 1) / kPage * kPage) {
          return damaged("pages lie outside their shared memory");
        }
      }
    }
    for (const SysvSharedMemory& memory : state_.sysv.memory) {
      if (memory.size > kAddressLimit) {
        return damaged("System V shared memory has an impossible size");
      }
      BEAM_TRY(pages(memory.page_file, memory.pages));
      for (const PageRun& run : memory.pages) {
        if (run.address + run.size > (memory.size + kPage - 1) / kPage * kPage) {
          return damaged("pages lie outside their System V shared memory");
        }
      }
    }
    for (const MappedFileState& file : state_.mapped_files) {
      const auto named = [&](const ImageFile& candidate) { return candidate.name == file.carried; };
      if (!file.carried.empty() && std::none_of(manifest_.files.begin(), manifest_.files.end(), named)) {
        return damaged("the file " + file.path + " is not in the image");
      }
    }
    for (const AddressSpaceState& space : state_.address_spaces) {
      BEAM_TRY(address_space(space));
    }
    for (const ProcessState& process : state_.processes) {
      BEAM_TRY(new_pid(process.vpid));
    }
    for (const ProcessState& process : state_.processes) {
      auto checked = this->process(process);
      if (!checked.ok()) {
        return std::move(checked).error().context("process " + std::to_string(process.vpid));
      }
    }
    for (const SessionTerminal& terminal : state_.terminals) {
      if (!pids_.contains(terminal.session) || terminal.foreground < 0 || terminal.foreground >= kLargestPid ||
          terminal.console < 0) {
        return damaged("a controlling terminal is impossible");
      }
    }
    return state_.processes.empty() ? damaged("it has no process") : success();
  }

 private:
  static Error damaged(std::string what) { return {kDamaged, std::move(what)}; }

  Result<> new_pid(std::int32_t vpid) {
    if (vpid <= 0 || vpid >= kLargestPid || !pids_.insert(vpid).second) {
      return damaged("the id " + std::to_string(vpid) + " is impossible or there twice");
    }
    return success();
  }

  Result<> pages(const std::string& file, const std::vector<PageRun>& runs) {
    if (runs.empty()) {
      return success();
    }
    const auto entry = std::find_if(manifest_.files.begin(), manifest_.files.end(),
                                    [&](const ImageFile& candidate) { return candidate.name == file; });
    if (entry == manifest_.files.end()) {
      return damaged("the page file '" + file + "' is not in the manifest");
    }
    std::uint64_t last_end = 0;
    for (const PageRun& run : runs) {
      if (run.address % kPage != 0 || run.size % kPage != 0 || run.offset % kPage != 0 || run.size == 0 ||
          run.address < last_end || run.address >= kAddressLimit || run.size > kAddressLimit - run.address ||
          run.offset > entry->size || run.size > entry->size - run.offset) {
        return damaged("pages lie outside their page file");
      }
      last_end = run.address + run.size;
    }
    return success();
  }

  Result<> address_space(const AddressSpaceState& space) {
    std::uint64_t last_end = 0;
    for (const Mapping& mapping : space.mappings) {
      const bool agent = mapping.start < BEAM_AGENT_END && mapping.end > BEAM_AGENT_BASE;
      if (mapping.start % kPage != 0 || mapping.end % kPage != 0 || mapping.start >= mapping.end ||
          mapping.start < last_end || mapping.end > kAddressLimit || agent) {
        return damaged("a mapping has an impossible place");
      }
      last_end = mapping.end;
      const std::size_t limit = mapping.backing == Backing::kFile           ? state_.mapped_files.size()
                                : mapping.backing == Backing::kSharedMemory ? state_.shared_memory.size()
                                : mapping.backing == Backing::kSysv         ? state_.sysv.memory.size()
                                                                            : 1;
      if (mapping.file >= limit || mapping.offset % kPage != 0 || mapping.offset > INT64_MAX) {
        return damaged("a mapping refers to a file that is not there");
      }
    }
    BEAM_TRY(pages(space.page_file, space.pages));
    for (const MemoryArea& guard : space.guards) {
      if (guard.address % kPage != 0 || guard.size % kPage != 0 || guard.address > kAddressLimit ||
          guard.size > kAddressLimit - guard.address ||
          (guard.address < BEAM_AGENT_END && guard.address + guard.size > BEAM_AGENT_BASE)) {
        return damaged("a guard has an impossible place");
      }
    }
    auto mapping = space.mappings.begin();
    for (const PageRun& run : space.pages) {
      while (mapping != space.mappings.end() && mapping->end <= run.address) {
        ++mapping;
      }
      if (mapping == space.mappings.end() || run.address < mapping->start || run.address + run.size > mapping->end ||
          mapping->shared) {
        return damaged("pages lie outside every private mapping");
      }
    }
    return success();
  }

  Result<> process(const ProcessState& process) {
    if (process.parent != 0 && !pids_.contains(process.parent)) {
      return damaged("its parent is not there");
    }
    if (process.group < 0 || process.group >= kLargestPid || process.session < 0 || process.session >= kLargestPid) {
      return damaged("its group or session is impossible");
    }
    if (process.wait_status) {
      return process.threads.empty() && process.descriptors.empty() ? success() : damaged("a zombie has threads");
    }
    if (process.threads.empty() || process.threads.front().vtid != process.vpid) {
      return damaged("it has no leader");
    }
    if (process.deleted_executable && *process.deleted_executable >= state_.shared_memory.size()) {
      return damaged("its executable is not there");
    }
    if (process.address_space >= state_.address_spaces.size()) {
      return damaged("its address space is not there");
    }
    for (std::size_t i = 0; i < process.threads.size(); ++i) {
      BEAM_TRY(thread(process.threads[i], i == 0));
    }
    BEAM_TRY(signals(process.pending));
    std::set<std::int32_t> seen;
    for (const Descriptor& descriptor : process.descriptors) {
      if (descriptor.fd < 0 || descriptor.fd > kLargestDescriptor || !seen.insert(descriptor.fd).second ||
          !objects_.contains(descriptor.object)) {
        return damaged("descriptor " + std::to_string(descriptor.fd) + " is impossible");
      }
    }
    for (const SignalAction& action : process.actions) {
      if (action.signal < 1 || action.signal > 64) {
        return damaged("an action is for no signal");
      }
    }
    return success();
  }

  Result<> thread(const ThreadState& thread, bool leader) {
    if (!leader) {
      BEAM_TRY(new_pid(thread.vtid));
    }
    if (thread.exited) {
      return leader ? success() : damaged("a thread that is no leader has exited");
    }
    if (thread.registers.size() != sizeof(user_regs_struct) / sizeof(std::uint64_t)) {
      return damaged("thread " + std::to_string(thread.vtid) + " has a wrong number of registers");
    }
    for (const std::uint32_t filter : thread.attributes.filters) {
      if (filter >= state_.filters.size()) {
        return damaged("a thread's seccomp filter is not there");
      }
    }
    const auto& credentials = thread.attributes.credentials;
    if (credentials && (credentials->users.size() != 4 || credentials->groups.size() != 4)) {
      return damaged("a thread has a wrong number of user or group ids");
    }
    return signals(thread.pending);
  }

  static Result<> signals(const std::vector<std::vector<std::uint8_t>>& pending) {
    constexpr std::size_t kSiginfo = 128;
    for (const auto& info : pending) {
      if (info.size() != kSiginfo) {
        return damaged("a queued signal has a wrong size");
      }
    }
    return success();
  }

  const SandboxState& state_;
  const Manifest& manifest_;
  std::set<std::uint32_t> objects_;
  std::set<std::int32_t> pids_;
};

}  // namespace

Result<> check_references(const SandboxState& state, const Manifest& manifest) {
  return Checker(state, manifest).run();
}

}  // namespace beam::migrate
