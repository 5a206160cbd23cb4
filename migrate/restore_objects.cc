// What a thaw makes in the supervisor itself, before there is any process: open files, shared memory.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/fault.h"
#include "interpose/call.h"
#include "migrate/image_path.h"
#include "migrate/restorer.h"

namespace beam::migrate {

Restorer::Restorer(interpose::Tracer& tracer, const Image& image, const SandboxState& state, RestoreOptions options)
    : tracer_(tracer),
      image_(image),
      state_(state),
      options_(options),
      context_{options_.stdio, options_.force, {}, nullptr, {}, {}, &tracer.shared()} {
  context_.consoles = options_.consoles;
  context_.inode = [this](std::uint32_t index) -> Result<int> {
    if (index >= inodes_.size()) {
      return Error(kDamaged, "the image has no file " + std::to_string(index));
    }
    return inodes_[index].get();
  };
  context_.shared = &tracer_.shared();
  context_.socket = [this](int family, int type) -> Result<UniqueFd> {
    Remote remote(*leaders_.begin()->second);
    BEAM_TRY_ASSIGN(const std::uint64_t fd, remote.call("make a socket", SYS_socket, static_cast<std::uint64_t>(family),
                                                        static_cast<std::uint64_t>(type | SOCK_CLOEXEC)));
    int error = 0;
    UniqueFd copy = interpose::copy_descriptor(remote.task().tid, *remote.task().process, static_cast<int>(fd), error);
    BEAM_TRY(remote.call("close", SYS_close, fd));
    return copy ? Result<UniqueFd>(std::move(copy)) : Result<UniqueFd>(Error(-error, "take a new socket"));
  };
  context_.host_pid = [this](VirtualPid vpid) { return tracer_.shared().pids.to_host(vpid); };
  for (const ProcessState& process : state_.processes) {
    by_vpid_[process.vpid] = &process;
    if (!process.adopted) {
      children_[process.parent].push_back(&process);
    }
    if (!process.wait_status) {
      by_space_[process.address_space].push_back(&process);
    }
  }
  shows_mappings_ = std::any_of(state_.objects.begin(), state_.objects.end(), [](const ObjectRecord& object) {
    return find_kind(object.kind)->shows_mappings(object.state);
  });
}

Restorer::~Restorer() {
  remove_executables();
}

Result<> Restorer::build() {
  tracer_.begin_hold_of_new_tasks();
  BEAM_TRY(make_inodes());
  BEAM_TRY(make_objects(false));
  BEAM_TRY(open_mapped_files());
  BEAM_TRY(make_sysv());
  BEAM_TRY(choose_vdso_place());
  if (fault_point("thaw.objects")) {
    return Error(EIO, "thaw: fault point");
  }
  BEAM_TRY(make_tree());
  const auto each = [this](Result<> (Restorer::*step)(const ProcessState&)) -> Result<> {
    for (const ProcessState& process : state_.processes) {
      if (!process.wait_status) {
        auto done = (this->*step)(process);
        if (!done.ok()) {
          return std::move(done).error().context("thaw process " + std::to_string(process.vpid));
        }
      }
    }
    return success();
  };
  // What processes share is there for all of them before the next step looks at it.
  BEAM_TRY(each(&Restorer::begin_fill));
  BEAM_TRY(make_objects(true));
  BEAM_TRY(each(&Restorer::fill));
  BEAM_TRY(each(&Restorer::stop));
  BEAM_TRY(each(&Restorer::start_timers));
  BEAM_TRY(each(&Restorer::finish));
  BEAM_TRY(seal_inodes());
  // What is closed here would be seen by inotify once its watches are set.
  mapped_files_.clear();
  read_only_files_.clear();
  inodes_.clear();
  read_only_inodes_.clear();
  BEAM_TRY(link_objects());
  BEAM_TRY(each(&Restorer::trap_reads));
  BEAM_TRY(each(&Restorer::set_locks));
  BEAM_TRY(set_owners());
  BEAM_TRY(settle_sysv());
  if (fault_point("thaw.filled")) {
    return Error(EIO, "thaw: fault point");
  }
  tracer_.shared().pids.set_last(VirtualPid(state_.last_vpid));
  return success();
}

void Restorer::start() {
  // An end that the supervisor kept open would be one that somebody waits for to be closed.
  objects_.clear();
  context_.parts = {};
  tracer_.end_hold();
}

void Restorer::abandon() {
  for (const auto& ghost : ghosts_) {
    ::kill(ghost->task.tid.value(), SIGKILL);
  }
  tracer_.kill_all();
  tracer_.end_hold();
}

Result<> Restorer::make_objects(bool after_processes) {
  // The descriptors of all processes pass through this one.
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  for (const ObjectRecord& object : state_.objects) {
    const ObjectKind* kind = find_kind(object.kind);
    if (kind->made_after_processes(object.state) != after_processes) {
      continue;
    }
    auto made = kind->make(context_, object.state);
    if (!made.ok()) {
      return std::move(made).error().context("thaw " + object.kind);
    }
    objects_[object.id] = std::move(*made);
  }
  return success();
}

interpose::Task* Restorer::task_of(VirtualPid vpid) {
  const ProcessState* process = find(vpid.value());
  if (process == nullptr || process->wait_status || process->threads.empty()) {
    return nullptr;
  }
  // A leader that has exited before its threads can do nothing more.
  if (!process->threads.front().exited) {
    return leaders_.at(vpid.value());
  }
  return process->threads.size() > 1 ? threads_.at(process->threads[1].vtid) : nullptr;
}

Result<> Restorer::link_objects() {
  LinkContext context{context_, tracer_.shared(), objects_, [this](VirtualPid vpid) { return task_of(vpid); }};
  for (const ObjectRecord& object : state_.objects) {
    auto linked = find_kind(object.kind)->link(context, object.state, objects_.at(object.id).get());
    if (!linked.ok()) {
      return std::move(linked).error().context("thaw " + object.kind);
    }
  }
  for (const ObjectKind* kind : all_kinds()) {
    auto linked = kind->link_all(context);
    if (!linked.ok()) {
      return std::move(linked).error().context("thaw " + std::string(kind->name()));
    }
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
    const std::string path = from_image_path(tracer_.shared(), file.path);
    UniqueFd fd(::open(path.c_str(), (writable[i] ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    struct stat info {};
    if ((!fd || ::fstat(fd.get(), &info) != 0) && file.carried.empty()) {
      return Error::from_errno("open the mapped file " + file.path);
    }
    const std::int64_t modified = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    const bool same = fd && S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) == file.size &&
                      modified == file.modified_ns;
    if (!same && !file.carried.empty()) {
      BEAM_TRY_ASSIGN(fd, carried_file(file, writable[i]));
    } else if (!same && !options_.force) {
      return Error(ESTALE, "the mapped file " + file.path + " has changed since the freeze")
          .remedy("thaw with --force to go on with it as it is");
    }
    read_only_files_.emplace_back(
        writable[i] ? ::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY | O_CLOEXEC)
                    : ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
    if (!read_only_files_.back()) {
      return Error::from_errno("open the mapped file " + file.path + " for reading");
    }
    mapped_files_.push_back(std::move(fd));
  }
  return success();
}

// Who gets SIGIO and its like. Last, as nothing of the thaw may be signalled.
Result<> Restorer::set_owners() {
  for (const ObjectRecord& object : state_.objects) {
    const int fd = objects_.at(object.id).get();
    if (object.owner_signal != 0 && ::fcntl(fd, F_SETSIG, object.owner_signal) != 0) {
      return Error::from_errno("choose the signal of a descriptor");
    }
    const HostPid host = object.owner != 0 ? tracer_.shared().pids.to_host(VirtualPid(object.owner)) : HostPid();
    if (host != HostPid()) {
      f_owner_ex owner{};
      owner.type = static_cast<__typeof__(owner.type)>(object.owner_type);
      owner.pid = host.value();
      if (::fcntl(fd, F_SETOWN_EX, &owner) != 0) {
        return Error::from_errno("choose who gets the signals of a descriptor");
      }
    }
    // The kernel remembers the number under which O_ASYNC was set, for si_fd: it has to be set by a process that has
    // it.
    if (object.asynchronous) {
      BEAM_TRY(set_asynchronous(object.id, fd));
    }
  }
  return success();
}

Result<> Restorer::set_asynchronous(std::uint32_t object, int ours) {
  const int flags = ::fcntl(ours, F_GETFL);
  for (const ProcessState& process : state_.processes) {
    for (const Descriptor& descriptor : process.descriptors) {
      if (descriptor.object != object) {
        continue;
      }
      Remote remote(*task_of(VirtualPid(process.vpid)));
      const auto fd = static_cast<std::uint64_t>(descriptor.fd);
      const auto cleared = static_cast<std::uint64_t>(flags & ~O_ASYNC);
      BEAM_TRY(remote.call("clear O_ASYNC", SYS_fcntl, fd, F_SETFL, cleared));
      BEAM_TRY(remote.call("set O_ASYNC", SYS_fcntl, fd, F_SETFL, cleared | O_ASYNC));
      return success();
    }
  }
  return success();
}

}  // namespace beam::migrate
