// Processes: who they are, what signals do to them, their limits and timers.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/log.h"
#include "migrate/collector.h"
#include "migrate/image_path.h"
#include "migrate/kernel_structs.h"

namespace beam::migrate {
namespace {

using interpose::Process;
using interpose::Task;

constexpr int kSignals = 64;
constexpr std::size_t kScratch = 256UL << 10;

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::uint64_t hexadecimal_value(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

// A bit a signal, signal 1 lowest.
bool in_set(std::uint64_t set, int signal) {
  return (set >> (signal - 1) & 1U) != 0;
}

}  // namespace

Collector::Collector(interpose::QuiescedSandbox& sandbox, ImageWriter* image, const std::array<int, 3>& stdio,
                     const std::vector<std::array<int, 3>>* later_stdio)
    : sandbox_(sandbox), image_(image), context_{sandbox.shared(), stdio, nullptr, later_stdio, image, {}, {}, {}, {}} {
  context_.keep_inode = [this](const OpenFile& file, InodeKind kind, const std::string& name) {
    return keep_inode(file, kind, name);
  };
}

void Collector::obstacle(VirtualPid vpid, std::string object, std::string reason) {
  obstacles_.push_back({vpid.value(), std::move(object), std::move(reason)});
}

std::vector<Collector::LiveProcess> Collector::live_processes() const {
  std::vector<LiveProcess> all;
  for (Task* task : sandbox_.tasks()) {  // by virtual id, so a leader comes before its threads
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const LiveProcess& live) { return live.process == task->process; });
    if (found == all.end()) {
      all.push_back({task->process, {task}});
    } else {
      found->tasks.push_back(task);
    }
  }
  for (LiveProcess& live : all) {
    // Numbers wrap: the leader may have a higher one than its threads.
    std::stable_partition(live.tasks.begin(), live.tasks.end(),
                          [&](const Task* task) { return task->vtid == live.process->vpid; });
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.process->vpid < b.process->vpid; });
  return all;
}

Result<> Collector::run() {
  const auto& shared = sandbox_.shared();
  state_.clocks = {clock_ns(CLOCK_REALTIME), clock_ns(CLOCK_MONOTONIC) + shared.clock_offsets.monotonic_ns,
                   clock_ns(CLOCK_BOOTTIME) + shared.clock_offsets.boottime_ns};
  state_.host_name = shared.host_name();
  state_.last_vpid = shared.pids.last().value();
  for (const auto& [host, process] : shared.tasks.processes()) {
    if (process->threads == 0) {
      BEAM_TRY(zombie(*process));
    }
  }
  for (const LiveProcess& process : live_processes()) {
    auto result = live(process);
    if (!result.ok()) {
      return std::move(result).error().context("collect process " + std::to_string(process.process->vpid.value()));
    }
  }
  BEAM_TRY(session_terminals());
  BEAM_TRY(relate_objects());
  BEAM_TRY(inode_contents());
  for (const ObjectKind* kind : all_kinds()) {
    kind->check_all(context_, obstacles_);
  }
  std::sort(state_.processes.begin(), state_.processes.end(),
            [](const ProcessState& a, const ProcessState& b) { return a.vpid < b.vpid; });
  return success();
}

Result<> Collector::identity(const Process& process, HostPid tid, ProcessState& state) {
  const auto& pids = sandbox_.shared().pids;
  BEAM_TRY_ASSIGN(const auto stat, ProcStatFields::read(tid));
  state.vpid = process.vpid.value();
  const auto parent = HostPid(static_cast<pid_t>(stat.field(4)));
  state.parent = sandbox_.shared().parent_of(const_cast<Process&>(process)).value();
  state.adopted = state.parent != 0 && pids.to_virtual(parent) != VirtualPid(state.parent);
  state.group = pids.to_virtual(HostPid(static_cast<pid_t>(stat.field(5)))).value();
  state.session = pids.to_virtual(HostPid(static_cast<pid_t>(stat.field(6)))).value();
  state.exit_signal = static_cast<std::int32_t>(stat.field(38));
  return success();
}

Result<> Collector::zombie(const Process& process) {
  const auto stat = ProcStatFields::read(process.host);
  if (!stat.ok() || stat->state() != 'Z') {
    return success();  // waited for already, or reaped by itself: the table has not noticed yet
  }
  ProcessState state;
  BEAM_TRY(identity(process, process.host, state));
  state.wait_status = static_cast<std::int32_t>(stat->field(52));
  state_.processes.push_back(std::move(state));
  return success();
}

Result<> Collector::live(const LiveProcess& live) {
  const Process& process = *live.process;
  Task& first = *live.tasks.front();
  const HostPid tid = first.tid;
  ProcessState state;
  BEAM_TRY(identity(process, tid, state));
  BEAM_TRY_ASSIGN(const std::string status, read_proc_file(tid, "status"));
  refuse_foreign_credentials(live, status);
  BEAM_TRY(refuse_sharing(live));

  BEAM_TRY_ASSIGN(state.executable, read_proc_link(tid, "exe"));
  OpenFile executable;
  executable.copy.reset(::open(("/proc/" + std::to_string(tid.value()) + "/exe").c_str(), O_RDONLY | O_CLOEXEC));
  if (!executable.copy || ::fstat(executable.copy.get(), &executable.info) != 0) {
    return Error::from_errno("open " + state.executable);
  }
  constexpr std::string_view kDeleted = " (deleted)";
  if (executable.info.st_nlink == 0 && state.executable.ends_with(kDeleted)) {
    state.executable.resize(state.executable.size() - kDeleted.size());
    executable.flags = O_RDONLY;
    BEAM_TRY_ASSIGN(state.deleted_executable, keep_inode(executable, InodeKind::kDeletedFile, state.executable));
  }
  struct stat directory {};
  BEAM_TRY_ASSIGN(state.working_directory, read_proc_link(tid, "cwd"));
  if (::stat(("/proc/" + std::to_string(tid.value()) + "/cwd").c_str(), &directory) == 0 && directory.st_nlink == 0 &&
      state.working_directory.ends_with(kDeleted)) {
    state.working_directory.resize(state.working_directory.size() - kDeleted.size());
    state.working_directory_deleted = true;
  }
  // In the sandbox's /proc, by the sandbox's ids: those of the workstation will be others.
  state.working_directory =
      to_image_path(sandbox_.shared(), sandbox_.shared().proc->shown(state.working_directory));
  state.executable = to_image_path(sandbox_.shared(), state.executable);
  BEAM_TRY_ASSIGN(const std::string root, read_proc_link(tid, "root"));
  BEAM_TRY_ASSIGN(const std::string own_root, read_proc_link(HostPid(::getpid()), "root"));
  if (root != own_root) {
    obstacle(process.vpid, "root directory " + root, "it is not the sandbox's");
  }
  BEAM_TRY_ASSIGN(const std::string personality, read_proc_file(tid, "personality"));
  state.personality = static_cast<std::uint32_t>(hexadecimal_value(personality));
  state.umask = static_cast<std::uint32_t>(std::strtoul(std::string(info_value(status, "Umask")).c_str(), nullptr, 8));
  state.dumpable_cleared = process.dumpable_cleared.load();
  for (const Task* task : live.tasks) {
    state.stop_signal = state.stop_signal != 0 ? state.stop_signal : task->held_stop_signal;
  }
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit64 limit{};
    if (::prlimit64(tid.value(), static_cast<__rlimit_resource>(resource), nullptr, &limit) == 0) {
      state.limits.push_back({resource, limit.rlim_cur, limit.rlim_max});
    }
  }
  BEAM_TRY(descriptors(tid, process.vpid, state));

  // The address space is listed before scratch memory is mapped into it.
  AddressSpaceState space;
  Remote remote(first);
  BEAM_TRY(address_space(remote, process.vpid, space));
  state.address_space = static_cast<std::uint32_t>(state_.address_spaces.size());
  state_.address_spaces.push_back(std::move(space));
  spaces_.push_back(process.space.get());

  BEAM_TRY(remote.map_scratch(kScratch));
  auto collected = remote_process_state(remote, status, state);
  if (collected.ok() && live.tasks.front()->vtid != process.vpid) {
    BEAM_TRY_ASSIGN(state.threads.emplace_back(), exited_leader(process));
  }
  for (Task* task : live.tasks) {
    if (!collected.ok()) {
      break;
    }
    Remote own(*task);
    own.use_scratch(remote.scratch(), remote.scratch_size());
    auto one = thread(own);
    if (one.ok()) {
      state.threads.push_back(std::move(*one));
    } else {
      collected = std::move(one).error();
    }
  }
  BEAM_TRY(remote.unmap_scratch());
  BEAM_TRY(std::move(collected));
  BEAM_TRY_ASSIGN(state.pending, pending_signals(tid, true));
  state_.processes.push_back(std::move(state));
  return success();
}

void Collector::refuse_foreign_credentials(const LiveProcess& live, const std::string& status) {
  const auto own = read_proc_file(HostPid(::getpid()), "status");
  for (const char* name : {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    if (own.ok() && live.process->credentials_changed &&
        info_value(*own, name).substr(0, info_value(*own, name).find('\n')) !=
            info_value(status, name).substr(0, info_value(status, name).find('\n'))) {
      obstacle(live.process->vpid, std::string("credentials (") + name + ")", "they differ from those of the sandbox");
      break;
    }
  }
  // Beam's own are there again after a thaw.
  if (std::any_of(live.tasks.begin(), live.tasks.end(), [](const Task* task) { return task->filters != nullptr; })) {
    obstacle(live.process->vpid, "seccomp filter", "the program has installed one of its own");
  }
}

// What threads of one process share natively, and processes do not: anything else is refused.
Result<> Collector::refuse_sharing(const LiveProcess& live) {
  for (std::size_t i = 0; i < spaces_.size(); ++i) {
    if (spaces_[i] == live.process->space.get()) {
      obstacle(live.process->vpid, "memory", "it is shared with another process (CLONE_VM)");
    }
  }
  const HostPid first = live.tasks.front()->tid;
  for (const Task* task : live.tasks) {
    for (const auto& [type, what] :
         {std::pair(KCMP_FILES, "descriptor table"), std::pair(KCMP_FS, "working directory")}) {
      if (task->tid != first && ::syscall(SYS_kcmp, first.value(), task->tid.value(), type, 0, 0) != 0) {
        obstacle(live.process->vpid, std::string(what) + " of thread " + std::to_string(task->vtid.value()),
                 "it is not that of its process (unshare)");
      }
    }
  }
  for (const ProcessState& other : state_.processes) {
    const HostPid host = sandbox_.shared().pids.to_host(VirtualPid(other.vpid));
    if (other.wait_status) {
      continue;
    }
    for (const auto& [type, what] :
         {std::pair(KCMP_FILES, "descriptor table"), std::pair(KCMP_FS, "working directory")}) {
      if (::syscall(SYS_kcmp, first.value(), host.value(), type, 0, 0) == 0) {
        obstacle(live.process->vpid, what, "it is shared with process " + std::to_string(other.vpid));
      }
    }
  }
  BEAM_TRY_ASSIGN(const std::string timers, read_proc_file(first, "timers"));
  if (!timers.empty()) {
    obstacle(live.process->vpid, "timers", "timers of timer_create can't be frozen yet");
  }
  return success();
}

Result<> Collector::remote_process_state(Remote& remote, const std::string& status, ProcessState& state) {
  const std::uint64_t ignored = hexadecimal_value(info_value(status, "SigIgn"));
  const std::uint64_t caught = hexadecimal_value(info_value(status, "SigCgt"));
  for (int signal = 1; signal <= kSignals; ++signal) {
    // SIGCHLD's flags mean something with the default action too.
    if (!in_set(ignored | caught, signal) && signal != SIGCHLD) {
      continue;
    }
    BEAM_TRY(remote.call("read a signal's action", SYS_rt_sigaction, static_cast<std::uint64_t>(signal), 0,
                         remote.scratch(), sizeof(std::uint64_t)));
    BEAM_TRY_ASSIGN(const auto action, remote.get<KernelSigaction>());
    if (action.handler != 0 || action.flags != 0) {
      state.actions.push_back({signal, action.handler, action.flags, action.restorer, action.mask});
    }
  }
  for (const int which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
    BEAM_TRY(remote.call("read a timer", SYS_getitimer, static_cast<std::uint64_t>(which), remote.scratch()));
    BEAM_TRY_ASSIGN(const auto timer, remote.get<itimerval>());
    const auto us = [](const timeval& time) { return time.tv_sec * 1'000'000LL + time.tv_usec; };
    if (us(timer.it_value) != 0) {
      state.timers.push_back({which, us(timer.it_interval), us(timer.it_value)});
    }
  }
  BEAM_TRY(remote.call("read the subreaper attribute", SYS_prctl, PR_GET_CHILD_SUBREAPER, remote.scratch()));
  BEAM_TRY_ASSIGN(const auto subreaper, remote.get<int>());
  state.subreaper = subreaper != 0;
  return success();
}

}  // namespace beam::migrate
