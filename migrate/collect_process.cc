// Processes: who they are, what signals do to them, their limits and timers.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "base/log.h"
#include "migrate/collector.h"
#include "migrate/extended_state.h"
#include "migrate/image_path.h"
#include "migrate/kernel_structs.h"
#include "migrate/network.h"

namespace beam::migrate {
namespace {

using interpose::Process;
using interpose::Task;

constexpr int kSignals = 64;
constexpr std::size_t kScratch = 256UL << 10;
constexpr int kGetMemoryMerge = 68;  // PR_GET_MEMORY_MERGE, since Linux 6.4

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
    : sandbox_(sandbox),
      image_(image),
      context_{.shared = sandbox.shared(), .stdio = stdio, .later_stdio = later_stdio, .image = image} {
  context_.keep_inode = [this](const OpenFile& file, InodeKind kind, const std::string& name) {
    return keep_inode(file, kind, name);
  };
}

void Collector::obstacle(VirtualPid vpid, std::string object, std::string reason) {
  obstacles_.push_back({vpid.value(), std::move(object), std::move(reason)});
}

std::vector<Collector::LiveProcess> Collector::live_processes() const {
  std::vector<LiveProcess> all;
  std::map<const Process*, std::size_t> places;
  for (Task* task : sandbox_.tasks()) {  // by virtual id, so a leader comes before its threads
    const auto [place, fresh] = places.emplace(task->process.get(), all.size());
    if (fresh) {
      all.push_back({task->process, {}});
    }
    all[place->second].tasks.push_back(task);
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
  note_unread_events();
  context_.began_ns = clock_ns(CLOCK_MONOTONIC);
  state_.clocks = {clock_ns(CLOCK_REALTIME), context_.began_ns + shared.clock_offsets.monotonic_ns,
                   clock_ns(CLOCK_BOOTTIME) + shared.clock_offsets.boottime_ns};
  state_.host_name = shared.host_name();
  state_.extended_layout = extended_layout();
  state_.network = collect_network(shared.options.network.get());
  BEAM_TRY(read_own_attributes());
  state_.message_traps = shared.message_traps;
  for (const auto& [host, process] : shared.tasks.processes()) {
    state_.message_traps |= process->message_traps.load();
  }
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
  find_lost_parents();
  for (ProcessState& process : state_.processes) {
    process.continued = continued_.contains(process.vpid) && process.stop_signal == 0;
  }
  check_sharing();
  BEAM_TRY(session_terminals());
  BEAM_TRY(relate_objects());
  for (const ObjectKind* kind : all_kinds()) {
    kind->check_all(context_, obstacles_);
  }
  if (image_ != nullptr && obstacles_.empty()) {
    BEAM_TRY(contents());
  }
  std::sort(state_.processes.begin(), state_.processes.end(),
            [](const ProcessState& a, const ProcessState& b) { return a.vpid < b.vpid; });
  return success();
}

// A parent that has died, and been waited for, without the table's having noticed: its children are orphans.
void Collector::find_lost_parents() {
  std::set<std::int32_t> there;
  for (const ProcessState& process : state_.processes) {
    there.insert(process.vpid);
  }
  for (ProcessState& process : state_.processes) {
    if (process.parent != 0 && !there.contains(process.parent)) {
      process.parent = there.contains(1) && process.vpid != 1 ? 1 : 0;
      process.adopted = process.parent != 0;
    }
  }
}

Result<> Collector::contents() {
  constexpr const char* kPages = "pages";
  BEAM_TRY_ASSIGN(auto pages, image_->file(kPages));
  for (std::size_t i = 0; i < space_users_.size(); ++i) {
    state_.address_spaces[i].page_file = kPages;
    BEAM_TRY(private_pages(*space_users_[i], i, pages));
  }
  if (later_.empty()) {
    BEAM_TRY(image_->add(std::move(pages)));
  } else {
    page_file_.emplace(std::move(pages));
  }
  BEAM_TRY(inode_contents());
  return sysv();
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
  BEAM_TRY(identity(process, process.host, state));  // a zombie leader still knows
  if (!process.space->agent_mapped) {
    obstacle(process.vpid, "memory", "its program may be executed but not read, and so can't be looked into");
    return success();
  }
  BEAM_TRY_ASSIGN(const std::string status, read_proc_file(tid, "status"));
  if (process.landlocked) {
    obstacle(process.vpid, "Landlock domain", "the program's own rules can't be read back");
  }
  shared_tables(live, state);

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
      to_image_path(sandbox_.shared(), sandbox_.shared().proc->proc_name(state.working_directory));
  state.executable = to_image_path(sandbox_.shared(), state.executable);
  BEAM_TRY_ASSIGN(const std::string root, read_proc_link(tid, "root"));
  BEAM_TRY_ASSIGN(const std::string own_root, read_proc_link(HostPid(::getpid()), "root"));
  if (root != own_root) {
    obstacle(process.vpid, "root directory " + root, "it is not the sandbox's");
  }
  BEAM_TRY_ASSIGN(const std::string personality, read_proc_file(tid, "personality"));
  state.personality = static_cast<std::uint32_t>(hexadecimal_value(personality));
  state.umask = static_cast<std::uint32_t>(std::strtoul(std::string(info_value(status, "Umask")).c_str(), nullptr, 8));
  if (sandbox_.shared().view) {
    state.view_root = process.view_root();
  }
  state.dumpable_cleared = process.dumpable_cleared.load();
  for (const Task* task : live.tasks) {
    state.stop_signal = state.stop_signal != 0 ? state.stop_signal : task->held_stop_signal;
  }
  if (state.stop_signal != 0) {
    BEAM_TRY_ASSIGN(state.stop_waited_for, stop_waited_for(process, state));
  }
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit64 limit{};
    if (::prlimit64(tid.value(), static_cast<__rlimit_resource>(resource), nullptr, &limit) == 0) {
      state.limits.push_back({resource, limit.rlim_cur, limit.rlim_max});
    }
  }
  for (const auto& undo : sandbox_.shared().sysv.undo_of(process.host)) {
    if (undo.adjustment != 0) {
      state.undo.push_back({undo.id, undo.number, undo.adjustment});
    }
  }
  BEAM_TRY(descriptors(tid, process.vpid, state));

  // The address space is listed before scratch memory is mapped into it.
  Remote remote(first);
  const auto [space, fresh] =
      spaces_.emplace(process.space.get(), static_cast<std::uint32_t>(state_.address_spaces.size()));
  if (fresh) {
    AddressSpaceState contents;
    BEAM_TRY(address_space(remote, process.vpid, contents));
    state_.address_spaces.push_back(std::move(contents));
    space_users_.push_back(&first);
  }
  state.address_space = space->second;

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

bool Collector::TableOrder::operator()(const std::pair<HostPid, std::int32_t>& a,
                                       const std::pair<HostPid, std::int32_t>& b) const {
  return ::syscall(SYS_kcmp, a.first.value(), b.first.value(), type, 0, 0) == 1;  // 1: less (kcmp(2))
}

// What threads of one process share natively, and processes by the flags of clone(2).
void Collector::shared_tables(const LiveProcess& live, ProcessState& state) {
  const HostPid first = live.tasks.front()->tid;
  const auto own = [&](int type) {
    const auto [known, fresh] =
        tables_.try_emplace(type, Tables(TableOrder{type})).first->second.emplace(first, state.vpid);
    return known->second;
  };
  state.files_of = own(KCMP_FILES);
  state.directory_of = own(KCMP_FS);
  state.actions_of = own(KCMP_SIGHAND);
  for (const Task* task : live.tasks) {
    for (const auto& [type, what] :
         {std::pair(KCMP_FILES, "descriptor table"), std::pair(KCMP_FS, "working directory")}) {
      if (task->tid != first && ::syscall(SYS_kcmp, first.value(), task->tid.value(), type, 0, 0) != 0) {
        obstacle(live.process->vpid, std::string(what) + " of thread " + std::to_string(task->vtid.value()),
                 "it is not that of its process (unshare)");
      }
    }
  }
}

// A process that shares something is made again from one that it shares with: its parent or a sibling.
void Collector::check_sharing() {
  std::map<std::int32_t, const ProcessState*> by_vpid;
  for (const ProcessState& process : state_.processes) {
    by_vpid[process.vpid] = &process;
  }
  const auto shares = [](const ProcessState& a, const ProcessState& b) {
    return a.address_space == b.address_space && a.files_of == b.files_of && a.directory_of == b.directory_of &&
           a.actions_of == b.actions_of;
  };
  std::map<std::uint32_t, const ProcessState*> first_of_space;
  for (const ProcessState& process : state_.processes) {
    if (process.wait_status) {
      continue;
    }
    const auto [first, fresh] = first_of_space.emplace(process.address_space, &process);
    for (const std::int32_t other :
         {process.files_of, process.directory_of, process.actions_of, fresh ? process.vpid : first->second->vpid}) {
      const auto partner = by_vpid.find(other);
      if (other == process.vpid || partner == by_vpid.end()) {
        continue;
      }
      const auto parent = by_vpid.find(process.parent);
      const bool related =
          partner->first == process.parent || partner->second->parent == process.parent ||
          (parent != by_vpid.end() && !parent->second->wait_status && shares(*parent->second, *partner->second));
      if (!related) {
        obstacle(
            VirtualPid(process.vpid), "memory, descriptors, directory or signal actions",
            "they are shared with process " + std::to_string(other) + ", which is neither its parent nor its sibling");
        break;
      }
    }
  }
}

// Whether the parent's wait has told of the stop already: it would tell once only.
Result<bool> Collector::stop_waited_for(const Process& process, const ProcessState& state) {
  const Task* parent = sandbox_.shared().tasks.find(sandbox_.shared().pids.to_host(VirtualPid(state.parent)));
  if (state.adopted || parent == nullptr || parent->state != interpose::RunState::kHeld ||
      !parent->process->space->agent_mapped) {
    return false;
  }
  Remote remote(*parent);
  BEAM_TRY_ASSIGN(const std::int64_t waiting,
                  remote.raw_call(SYS_waitid, P_PID, static_cast<std::uint64_t>(process.host.value()), 0,
                                  WSTOPPED | WNOHANG | WNOWAIT | __WALL));
  if (waiting < 0) {
    return false;  // no child of the kernel's
  }
  // The same with an answer: a null one does not tell nothing from something.
  BEAM_TRY(remote.map_scratch(sizeof(siginfo_t)));
  BEAM_TRY(remote.put(siginfo_t{}));
  auto told = remote.raw_call(SYS_waitid, P_PID, static_cast<std::uint64_t>(process.host.value()), remote.scratch(),
                              WSTOPPED | WNOHANG | WNOWAIT | __WALL);
  auto info = remote.get<siginfo_t>();
  BEAM_TRY(remote.unmap_scratch());
  BEAM_TRY(std::move(told));
  BEAM_TRY(info);
  return info->si_pid == 0;
}

Result<> Collector::remote_process_state(Remote& remote, const std::string& status, ProcessState& state) {
  BEAM_TRY_ASSIGN(const std::string adjustment, read_proc_file(remote.task().tid, "oom_score_adj"));
  if (adjustment != own_.oom_score_adjustment) {
    state.oom_score_adjustment = std::atoi(adjustment.c_str());
  }
  Batch batch(remote);
  const std::uint64_t ignored = hexadecimal_value(info_value(status, "SigIgn"));
  const std::uint64_t caught = hexadecimal_value(info_value(status, "SigCgt"));
  std::vector<std::pair<int, std::uint64_t>> actions;
  for (int signal = 1; signal <= kSignals; ++signal) {
    // SIGCHLD's flags mean something with the default action too.
    if (!in_set(ignored | caught, signal) && signal != SIGCHLD) {
      continue;
    }
    actions.emplace_back(signal, batch.put(KernelSigaction{}));
    batch.add("read a signal's action", SYS_rt_sigaction, static_cast<std::uint64_t>(signal), 0, actions.back().second,
              sizeof(std::uint64_t));
  }
  std::array<std::uint64_t, 3> timers{};
  for (const int which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
    timers[static_cast<std::size_t>(which)] = batch.put(itimerval{});
    batch.add("read a timer", SYS_getitimer, static_cast<std::uint64_t>(which),
              timers[static_cast<std::size_t>(which)]);
  }
  const std::uint64_t subreaper = batch.put(int{});
  batch.add("read the subreaper attribute", SYS_prctl, PR_GET_CHILD_SUBREAPER, subreaper);
  const std::uint64_t continued = batch.put(siginfo_t{});
  batch.add(nullptr, SYS_waitid, P_ALL, 0, continued, WCONTINUED | WNOHANG | WNOWAIT | __WALL, 0);
  const std::size_t huge = batch.add(nullptr, SYS_prctl, PR_GET_THP_DISABLE);
  const std::size_t merge = batch.add(nullptr, SYS_prctl, kGetMemoryMerge);
  // A page that nothing has touched is there all the same where new memory is locked (mlockall(2), MCL_FUTURE).
  const std::uint64_t resident = batch.put(std::uint8_t{});
  batch.add("see whether new memory is locked", SYS_mincore, remote.scratch() + remote.scratch_size() / 2, 4096,
            resident);
  // Locked memory is not advised on (madvise(2)), whether it is there or, by MCL_ONFAULT, not yet.
  const std::size_t advised =
      batch.add(nullptr, SYS_madvise, remote.scratch() + remote.scratch_size() / 2, 4096, MADV_COLD);
  BEAM_TRY(batch.run());
  for (const auto& [signal, place] : actions) {
    const auto action = batch.get<KernelSigaction>(place);
    if (action.handler != 0 || action.flags != 0) {
      state.actions.push_back({signal, action.handler, action.flags, action.restorer, action.mask});
    }
  }
  for (const int which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
    const auto timer = batch.get<itimerval>(timers[static_cast<std::size_t>(which)]);
    const auto us = [](const timeval& time) { return time.tv_sec * 1'000'000LL + time.tv_usec; };
    if (us(timer.it_value) != 0) {
      const std::int64_t left = us(timer.it_value);
      const bool by_clock = which == ITIMER_REAL;  // the others count processor time
      state.timers.push_back(
          {which, us(timer.it_interval), by_clock ? context_.left_when_begun(left * 1000) / 1000 : left});
    }
  }
  state.subreaper = batch.get<int>(subreaper) != 0;
  if (const pid_t child = batch.get<siginfo_t>(continued).si_pid; child != 0) {
    continued_.insert(sandbox_.shared().pids.to_virtual(HostPid(child)).value());
  }
  state.no_huge_pages = batch.result(huge) == 1;
  state.merge_memory = batch.result(merge) == 1;
  const bool is_resident = (batch.get<std::uint8_t>(resident) & 1U) != 0;
  state.locks_on_fault = !is_resident && batch.result(advised) == -EINVAL;
  state.locks_new_memory = is_resident || state.locks_on_fault;
  return posix_timers(remote, state);
}

}  // namespace beam::migrate
