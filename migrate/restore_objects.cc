// What a thaw makes in the supervisor itself, before there is any process: open files, shared memory.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fault.h"
#include "migrate/restorer.h"

namespace beam::migrate {

Restorer::Restorer(interpose::Tracer& tracer, const Image& image, const SandboxState& state, RestoreOptions options)
    : tracer_(tracer), image_(image), state_(state), options_(options), context_{options_.stdio, options_.force, {}} {
  for (const ProcessState& process : state_.processes) {
    by_vpid_[process.vpid] = &process;
    if (!process.adopted) {
      children_[process.parent].push_back(&process);
    }
    if (!process.wait_status) {
      by_space_[process.address_space].push_back(&process);
    }
  }
}

Restorer::~Restorer() = default;

Result<> Restorer::build() {
  tracer_.begin_hold_of_new_tasks();
  BEAM_TRY(make_objects());
  BEAM_TRY(open_mapped_files());
  BEAM_TRY(make_shared_memory());
  BEAM_TRY(make_sysv());
  BEAM_TRY(choose_vdso_place());
  if (fault_point("thaw.objects")) {
    return Error(EIO, "thaw: fault point");
  }
  BEAM_TRY(make_tree());
  // What processes share is there for all of them before the next step looks at it.
  for (const auto step :
       {&Restorer::fill_space, &Restorer::fill, &Restorer::stop, &Restorer::start_timers, &Restorer::finish}) {
    for (const ProcessState& process : state_.processes) {
      if (!process.wait_status) {
        auto done = (this->*step)(process);
        if (!done.ok()) {
          return std::move(done).error().context("thaw process " + std::to_string(process.vpid));
        }
      }
    }
  }
  BEAM_TRY(settle_sysv());
  if (fault_point("thaw.filled")) {
    return Error(EIO, "thaw: fault point");
  }
  tracer_.shared().pids.set_last(VirtualPid(state_.last_vpid));
  return success();
}

void Restorer::start() {
  tracer_.end_hold();
}

void Restorer::abandon() {
  for (const auto& ghost : ghosts_) {
    ::kill(ghost->task.tid.value(), SIGKILL);
  }
  tracer_.kill_all();
  tracer_.end_hold();
}

Result<> Restorer::make_objects() {
  // The descriptors of all processes pass through this one.
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  for (const ObjectRecord& object : state_.objects) {
    const ObjectKind* kind = find_kind(object.kind);
    auto made = kind->make(context_, object.state);
    if (!made.ok()) {
      return std::move(made).error().context("thaw " + object.kind);
    }
    objects_[object.id] = std::move(*made);
  }
  return success();
}

Result<> Restorer::open_mapped_files() {
  std::vector<bool> writable(state_.mapped_files.size());
  for (const AddressSpaceState& space : state_.address_spaces) {
    for (const Mapping& mapping : space.mappings) {
      if (mapping.backing == Backing::kFile && mapping.shared && mapping.may_write) {
        writable[mapping.file] = true;
      }
    }
  }
  for (std::size_t i = 0; i < state_.mapped_files.size(); ++i) {
    const MappedFileState& file = state_.mapped_files[i];
    UniqueFd fd(::open(file.path.c_str(), (writable[i] ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
      return Error::from_errno("open the mapped file " + file.path);
    }
    const std::int64_t modified = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    const bool same =
        S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) == file.size && modified == file.modified_ns;
    if (!same && !options_.force) {
      return Error(ESTALE, "the mapped file " + file.path + " has changed since the freeze")
          .remedy("thaw with --force to go on with it as it is");
    }
    mapped_files_.push_back(std::move(fd));
  }
  return success();
}

Result<> Restorer::make_shared_memory() {
  std::vector<char> buffer(1U << 20);
  for (const SharedMemoryState& memory : state_.shared_memory) {
    UniqueFd fd(::memfd_create(memory.name.empty() ? "beam-shared" : memory.name.c_str(), MFD_CLOEXEC));
    if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(memory.size)) != 0) {
      return Error::from_errno("make shared memory of " + std::to_string(memory.size) + " bytes");
    }
    UniqueFd pages;
    if (!memory.pages.empty()) {
      BEAM_TRY_ASSIGN(pages, image_.file(memory.page_file));
    }
    for (const PageRun& run : memory.pages) {
      for (std::uint64_t done = 0; done < run.size;) {
        const std::size_t want = std::min<std::uint64_t>(run.size - done, buffer.size());
        const ssize_t got = ::pread(pages.get(), buffer.data(), want, static_cast<off_t>(run.offset + done));
        if (got <= 0) {
          return Error(got < 0 ? errno : kDamaged, "read " + memory.page_file);
        }
        const ssize_t put =
            ::pwrite(fd.get(), buffer.data(), static_cast<std::size_t>(got), static_cast<off_t>(run.address + done));
        if (put != got) {
          return Error(put < 0 ? errno : ENOSPC, "fill shared memory");
        }
        done += static_cast<std::uint64_t>(got);
      }
    }
    shared_memory_.push_back(std::move(fd));
  }
  return success();
}

}  // namespace beam::migrate
