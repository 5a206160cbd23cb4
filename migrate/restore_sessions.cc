// Who is whose child in which session and group, and which of them are dead already.
//
// A process gets its session from whoever forks it, and its parent is the forker or, with CLONE_PARENT, the forker's
// parent. A session or group whose leader is gone is made by a ghost: a process of the leader's id that ends once its
// members are there; the kernel keeps the number as long as they use it.
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "interpose/agent/layout.h"
#include "migrate/proc_reader.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

using interpose::StoppedTracee;
using interpose::Task;

bool is_session_leader(const ProcessState& process) {
  return process.session == process.vpid;
}

}  // namespace

const ProcessState* Restorer::find(std::int32_t vpid) const {
  const auto it = by_vpid_.find(vpid);
  return it == by_vpid_.end() ? nullptr : it->second;
}

// What two processes have in common, as flags of clone(2).
std::uint64_t Restorer::shared_with(const ProcessState& a, const ProcessState& b) const {
  if (a.wait_status || b.wait_status) {
    return 0;
  }
  const auto same = [](std::int32_t one, std::int32_t other) { return one != 0 && one == other; };
  return (a.address_space == b.address_space ? CLONE_VM : 0) | (same(a.files_of, b.files_of) ? CLONE_FILES : 0) |
         (same(a.directory_of, b.directory_of) ? CLONE_FS : 0) | (same(a.actions_of, b.actions_of) ? CLONE_SIGHAND : 0);
}

// A child of the same parent that is there already, and that the process shares something with; null: none.
Task* Restorer::sharing_sibling(const ProcessState& process) const {
  const auto& space = by_space_.find(process.address_space)->second;
  for (const std::int32_t other : {space.front()->vpid, process.files_of, process.directory_of, process.actions_of}) {
    const ProcessState* sibling = other != process.vpid ? find(other) : nullptr;
    const auto made = sibling != nullptr ? leaders_.find(other) : leaders_.end();
    if (made != leaders_.end() && sibling->parent == process.parent && sibling->adopted == process.adopted &&
        sibling->session == process.session) {
      return made->second;
    }
  }
  return nullptr;
}

// A process that the supervisor itself started, or that came to it as an orphan.
Result<> Restorer::make_root(const ProcessState& process, const ProcessState& first) {
  Task* forker = leaders_.at(first.vpid);
  if (!is_session_leader(process) && process.session != first.session) {
    const ProcessState* leader = find(process.session);
    if (leader != nullptr && (leader->parent == 0 || leader->adopted) && leaders_.contains(leader->vpid)) {
      forker = leaders_.at(leader->vpid);
    } else if (leader == nullptr) {
      BEAM_TRY_ASSIGN(forker, ghost(process.session, *forker, true));
    } else {
      strays_.push_back(&process);
      return success();
    }
  }
  if (Task* sibling = sharing_sibling(process)) {
    forker = sibling;
  }
  BEAM_TRY(make_process(process, *forker, true));
  return make_children(process);
}

Result<> Restorer::make_children(const ProcessState& process) {
  Task& task = *leaders_.at(process.vpid);
  std::vector<const ProcessState*> children = children_[process.vpid];
  const auto session_of_task = [&] {
    return tracer_.shared().pids.to_virtual(HostPid(::getsid(task.tid.value()))).value();
  };
  std::vector<const ProcessState*> later;
  if (is_session_leader(process) && session_of_task() != process.vpid) {
    // Children that it had before it became a leader are of the session that it was born in.
    for (const ProcessState* child : children) {
      if (child->session == session_of_task() && child->session != process.session) {
        BEAM_TRY(make_process(*child, task, false));
        BEAM_TRY(make_children(*child));
      } else {
        later.push_back(child);
      }
    }
    children = later;
    Remote remote(task);
    BEAM_TRY(remote.call("begin a session", SYS_setsid));
    BEAM_TRY(take_terminal(process));
  }
  later.clear();
  for (const ProcessState* child : children) {
    if (!is_session_leader(*child) && child->session != process.session) {
      later.push_back(child);
      continue;
    }
    Task* sibling = child->wait_status || shared_with(*child, process) != 0 ? nullptr : sharing_sibling(*child);
    BEAM_TRY(make_process(*child, sibling != nullptr ? *sibling : task, sibling != nullptr));
    BEAM_TRY(make_children(*child));
  }
  for (const ProcessState* child : later) {
    // From a sibling in that session: its living leader, or the ghost of a dead one.
    const ProcessState* leader = find(child->session);
    Task* forker = nullptr;
    if (leader == nullptr) {
      BEAM_TRY_ASSIGN(forker, ghost(child->session, task, false));
    } else if (leader->parent == process.vpid && !leader->adopted) {
      forker = leaders_.at(leader->vpid);
    } else {
      strays_.push_back(child);
      continue;
    }
    BEAM_TRY(make_process(*child, *forker, true));
    BEAM_TRY(make_children(*child));
  }
  return success();
}

// Orphans whose session's leader is no sibling: forked by a child of the leader, which ends, so that they go where the
// kernel sends orphans, as they did the first time.
Result<> Restorer::make_strays() {
  while (!strays_.empty()) {
    const ProcessState& process = *strays_.back();
    strays_.pop_back();
    const std::string what =
        "process " + std::to_string(process.vpid) + " in session " + std::to_string(process.session);
    const auto leader = leaders_.find(process.session);
    if (leader == leaders_.end()) {
      return Error(ENOTSUP, what);
    }
    BEAM_TRY_ASSIGN(const HostPid middle, fork_from(*leader->second, SIGCHLD));
    auto between = std::make_shared<interpose::Process>();
    between->host = middle;
    between->vpid = VirtualPid(process.session);
    between->space = std::make_shared<interpose::AddressSpace>(*leader->second->process->space);
    Task forker;
    forker.tid = middle;
    forker.process = between;
    BEAM_TRY(make_process(process, forker, false));
    BEAM_TRY(end_unlisted(middle, leader->second));
    const auto now = ProcStatFields::read(leaders_.at(process.vpid)->tid);
    const auto wanted = process.adopted || process.parent == 0
                            ? HostPid(::getpid())
                            : tracer_.shared().pids.to_host(VirtualPid(process.parent));
    if (!now.ok() || static_cast<pid_t>(now->field(4)) != wanted.value()) {
      return Error(ENOTSUP, what + ": give it its parent");
    }
    BEAM_TRY(make_children(process));
  }
  return success();
}

// A process that stands for the dead leader of a session until the end of the tree's making.
Result<Task*> Restorer::ghost(std::int32_t vpid, Task& forker, bool sibling) {
  for (auto& existing : ghosts_) {
    if (existing->task.vtid == VirtualPid(vpid) && existing->parent == (sibling ? nullptr : &forker)) {
      return &existing->task;
    }
  }
  BEAM_TRY_ASSIGN(const HostPid host, fork_from(forker, SIGCHLD | (sibling ? CLONE_PARENT : 0)));
  auto made = std::make_unique<Ghost>();
  made->parent = sibling ? nullptr : &forker;
  made->task.tid = host;
  made->task.vtid = VirtualPid(vpid);
  made->task.process = std::make_shared<interpose::Process>();
  made->task.process->host = host;
  made->task.process->vpid = VirtualPid(vpid);
  made->task.process->space = std::make_shared<interpose::AddressSpace>(*forker.process->space);
  programs_[vpid] = programs_[forker.process->vpid.value()];
  Task& task = made->task;
  ghosts_.push_back(std::move(made));
  if (!tracer_.shared().pids.bind(host, VirtualPid(vpid))) {
    return Error(ENOTSUP, "make session " + std::to_string(vpid) + " for several parents");
  }
  Remote remote(task);
  BEAM_TRY(remote.call("begin a session", SYS_setsid));
  return &task;
}

Result<> Restorer::set_groups() {
  auto& pids = tracer_.shared().pids;
  const auto set = [&](Task& task, HostPid group) -> Result<> {
    if (::getpgid(task.tid.value()) != group.value()) {
      Remote remote(task);
      BEAM_TRY(remote.call("set the process group", SYS_setpgid, 0, static_cast<std::uint64_t>(group.value())));
    }
    return success();
  };
  for (const ProcessState& process : state_.processes) {
    if (process.group == process.vpid) {
      BEAM_TRY(set(*leaders_.at(process.vpid), leaders_.at(process.vpid)->tid));
    }
  }
  for (const ProcessState& process : state_.processes) {
    if (process.group == 0 || process.group == process.vpid) {
      continue;
    }
    Task& task = *leaders_.at(process.vpid);
    HostPid group = pids.to_host(VirtualPid(process.group));
    if (group == HostPid()) {
      // The group's leader is dead: a child of a member leads it for a moment.
      BEAM_TRY_ASSIGN(group, fork_from(task, SIGCHLD));
      auto made = std::make_unique<Ghost>();
      made->parent = &task;
      made->task.tid = group;
      made->task.vtid = VirtualPid(process.group);
      made->task.process = std::make_shared<interpose::Process>();
      made->task.process->host = group;
      made->task.process->vpid = VirtualPid(process.group);
      made->task.process->space = task.process->space;
      Remote remote(made->task);
      ghosts_.push_back(std::move(made));
      if (!pids.bind(group, VirtualPid(process.group))) {
        return Error(EEXIST, "make process group " + std::to_string(process.group));
      }
      BEAM_TRY(remote.call("begin a process group", SYS_setpgid, 0, 0));
    }
    BEAM_TRY(set(task, group));
  }
  return success();
}

// Ends a process that the task table does not know, and takes its zombie from its parent; `parent` null: ours.
Result<> Restorer::end_unlisted(HostPid host, Task* parent) {
  ::kill(host.value(), SIGKILL);
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(host.value(), &status, __WALL);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Error::from_errno("end a helper process");
    }
    if (!WIFSTOPPED(status)) {
      break;
    }
    ::ptrace(PTRACE_CONT, host.value(), nullptr, nullptr);
  }
  if (parent != nullptr) {
    Remote remote(*parent);
    BEAM_TRY(remote.call("take a helper's end", SYS_wait4, static_cast<std::uint64_t>(host.value()), 0, __WALL, 0));
  }
  return success();
}

// Ghosts first: some are children of processes that are to be zombies.
Result<> Restorer::end_zombies() {
  for (auto& ghost : ghosts_) {
    BEAM_TRY(end_unlisted(ghost->task.tid, ghost->parent));
    tracer_.shared().pids.retire(ghost->task.tid);
  }
  ghosts_.clear();
  for (const ProcessState& process : state_.processes) {
    if (process.wait_status) {
      BEAM_TRY(end_as(*leaders_.at(process.vpid), *process.wait_status));
      leaders_.erase(process.vpid);
    }
  }
  return success();
}

// The process ends as its image did, and stays for its parent to wait for.
Result<> Restorer::end_as(Task& task, int wait_status) {
  const HostPid host = task.tid;
  const bool signalled = WIFSIGNALED(wait_status);
  const int signal = signalled ? WTERMSIG(wait_status) : 0;
  if (signalled) {
    // A core was dumped the first time, or was not.
    const rlimit64 none{0, 0};
    ::prlimit64(host.value(), RLIMIT_CORE, &none, nullptr);
    StoppedTracee tracee(host);
    tracee.set_signal_mask(0);
    ::kill(host.value(), signal);
  }
  StoppedTracee tracee(host);
  if (user_regs_struct* regs = tracee.regs()) {
    regs->rip = BEAM_AGENT_GADGET;
    regs->rax = SYS_exit_group;
    regs->orig_rax = ~0ULL;
    regs->rdi = static_cast<std::uint64_t>(WEXITSTATUS(wait_status));
    tracee.set_regs_changed();
    tracee.flush_regs();
  }
  ::ptrace(PTRACE_CONT, host.value(), nullptr, nullptr);
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(host.value(), &status, __WALL);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Error::from_errno("end a process as it had ended");
    }
    if (!WIFSTOPPED(status)) {
      tracer_.take_event(host, status);
      return success();
    }
    const int deliver = (status >> 16) == 0 && WSTOPSIG(status) == signal ? signal : 0;
    ::ptrace(PTRACE_CONT, host.value(), nullptr, static_cast<std::uint64_t>(deliver));
  }
}

// The making itself has sent signals: the ends of helpers and zombies. None of them is the program's.
Result<> Restorer::drop_all_signals() {
  for (const auto& [vpid, task] : leaders_) {
    Remote remote(*task);
    remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
    BEAM_TRY(drop_signals(remote));
  }
  return success();
}

Result<> Restorer::drop_signals(Remote& remote) {
  struct {
    std::uint64_t all;
    timespec now;
  } arguments{~0ULL, {0, 0}};
  BEAM_TRY_ASSIGN(const std::uint64_t at, remote.put(arguments));
  for (;;) {
    BEAM_TRY_ASSIGN(
        const std::int64_t signal,
        remote.raw_call(SYS_rt_sigtimedwait, at, 0, at + offsetof(decltype(arguments), now), sizeof(std::uint64_t)));
    if (signal < 0) {
      return success();
    }
  }
}

}  // namespace beam::migrate
