// The process tree of a thaw: stubs with the right parents, sessions and groups, emptied for what comes.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/fault.h"
#include "interpose/agent.h"
#include "interpose/agent/layout.h"
#include "migrate/proc_reader.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

using interpose::Process;
using interpose::StoppedTracee;
using interpose::Task;

constexpr std::uint64_t kAllSignals = ~0ULL;
constexpr std::uint64_t kAddressLimit = (1ULL << 47) - 4096;
constexpr std::uint64_t kVdsoRoom = 16 * 4096;  // the kernel's vDSO with its data

bool is_kernels(const MemoryRange& range) {
  return range.path == "[vdso]" || range.path == "[vvar]" || range.path == "[vvar_vclock]";
}

int wait_for(HostPid tid, int& status) {
  pid_t got = 0;
  do {
    got = ::waitpid(tid.value(), &status, __WALL);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? errno : 0;
}

int event_of(int status) {
  return WIFSTOPPED(status) ? status >> 16 : 0;
}

}  // namespace

// Where the kernel's vDSO goes in every stub: its own choice could be in the way of the image's mappings.
Result<> Restorer::choose_vdso_place() {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;
  for (const AddressSpaceState& space : state_.address_spaces) {
    for (const Mapping& mapping : space.mappings) {
      taken.emplace_back(mapping.start, mapping.end);
    }
  }
  std::sort(taken.begin(), taken.end());
  std::uint64_t place = BEAM_AGENT_END;
  for (const auto& [start, end] : taken) {
    if (start >= place + kVdsoRoom) {
      break;
    }
    place = std::max(place, end);
  }
  if (place + kVdsoRoom > kAddressLimit) {
    return Error(ENOMEM, "find a place for the vDSO");
  }
  vdso_place_ = place;
  return success();
}

Result<> Restorer::make_tree() {
  int highest = 0;
  for (const ProcessState& process : state_.processes) {
    for (const Descriptor& descriptor : process.descriptors) {
      highest = std::max(highest, descriptor.fd);
    }
  }
  // Above every descriptor of the image, and above what one message brings.
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  control_fd_ = std::max(highest + 1, static_cast<int>(std::min<rlim_t>(512, files.rlim_max - 1)));
  const auto first = std::find_if(state_.processes.begin(), state_.processes.end(), [](const ProcessState& process) {
    return process.parent == 0 && !process.wait_status;
  });
  if (first == state_.processes.end()) {
    return Error(kDamaged, "the image has no first process");
  }
  BEAM_TRY(make_first(*first));
  BEAM_TRY(make_children(*first));
  for (const ProcessState& process : state_.processes) {
    if (&process != &*first && (process.parent == 0 || process.adopted) && !process.wait_status) {
      BEAM_TRY(make_root(process, *first));
    }
  }
  BEAM_TRY(make_strays());
  remove_executables();
  if (fault_point("thaw.tree")) {
    return Error(EIO, "thaw: fault point");
  }
  BEAM_TRY(set_groups());
  BEAM_TRY(set_foreground_groups());
  BEAM_TRY(end_zombies());
  return drop_all_signals();
}

Result<> Restorer::make_first(const ProcessState& process) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return Error::from_errno("make a socket pair");
  }
  control_.reset(sockets[0]);
  const UniqueFd theirs(sockets[1]);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  interpose::SpawnRequest request;
  request.path = executable_of(process);
  request.argv = {process.threads.front().name};
  request.working_directory = "/";
  request.stdio = {null.get(), null.get(), null.get()};
  request.inherit = {theirs.get()};
  request.new_session = process.session == process.vpid;
  for (const auto& [path, carried] : carried_) {
    request.executables.push_back(carried);
  }
  BEAM_TRY_ASSIGN(Task * task, tracer_.spawn_held(request, VirtualPid(process.vpid)));
  task->process->set_view_root(process.view_root);
  leaders_[process.vpid] = task;
  programs_[process.vpid] = request.path;
  rlimit64 files{};
  if (::prlimit64(task->tid.value(), RLIMIT_NOFILE, nullptr, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::prlimit64(task->tid.value(), RLIMIT_NOFILE, &files, nullptr);
  }
  StoppedTracee(task->tid).set_signal_mask(kAllSignals);
  Remote remote(*task);
  constexpr std::uint64_t kInherited = 3;
  BEAM_TRY(remote.call("place the control socket", SYS_dup3, kInherited, static_cast<std::uint64_t>(control_fd_), 0));
  BEAM_TRY(close_all_but_control(remote));
  BEAM_TRY(empty(*task));
  if (request.new_session) {
    BEAM_TRY(take_terminal(process));
  }
  return set_subreaper(process);
}

Result<> Restorer::set_subreaper(const ProcessState& process) {
  if (process.subreaper) {
    Remote remote(*leaders_.at(process.vpid));
    BEAM_TRY(remote.call("become a subreaper", SYS_prctl, PR_SET_CHILD_SUBREAPER, 1));
  }
  return success();
}

Result<> Restorer::close_all_but_control(Remote& remote) {
  const auto control = static_cast<std::uint64_t>(control_fd_);
  BEAM_TRY(remote.call("close", SYS_close_range, 0, control - 1, 0));
  BEAM_TRY(remote.call("close", SYS_close_range, control + 1, ~0U, 0));
  return success();
}

// Steps into fork with one instruction, and out of it with another.
Result<HostPid> Restorer::fork_from(Task& forker, std::uint64_t flags) {
  const auto died = [&] { return Error(ESRCH, "fork in process " + std::to_string(forker.process->vpid.value())); };
  StoppedTracee tracee(forker.tid);
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return died();
  }
  regs->rip = BEAM_AGENT_GADGET;
  regs->rax = SYS_clone;
  regs->orig_rax = ~0ULL;
  regs->rdi = flags;
  regs->rsi = 0;
  regs->rdx = 0;
  regs->r10 = 0;
  regs->r8 = 0;
  tracee.set_regs_changed();
  HostPid child;
  for (;;) {
    if (!tracee.flush_regs() || ::ptrace(PTRACE_SINGLESTEP, forker.tid.value(), nullptr, nullptr) != 0) {
      return died();
    }
    int status = 0;
    if (wait_for(forker.tid, status) != 0 || !WIFSTOPPED(status)) {
      return died();
    }
    const int event = event_of(status);
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE) {
      unsigned long message = 0;
      ::ptrace(PTRACE_GETEVENTMSG, forker.tid.value(), nullptr, &message);
      child = HostPid(static_cast<pid_t>(message));
    } else if (event == 0) {
      break;  // the step's own trap
    }
  }
  if (child == HostPid()) {
    const StoppedTracee failed(forker.tid);
    user_regs_struct after{};
    ::ptrace(PTRACE_GETREGS, forker.tid.value(), nullptr, &after);
    return Error(static_cast<int>(-static_cast<std::int64_t>(after.rax)),
                 "fork in process " + std::to_string(forker.process->vpid.value()))
        .remedy("see the limit of processes (ulimit -u)");
  }
  int status = 0;
  if (wait_for(child, status) != 0 || !WIFSTOPPED(status)) {
    return Error(ESRCH, "fork in process " + std::to_string(forker.process->vpid.value()));
  }
  return child;
}

Result<Task*> Restorer::make_process(const ProcessState& state, Task& forker, bool sibling) {
  std::uint64_t flags = static_cast<std::uint64_t>(state.exit_signal >= 0 ? state.exit_signal : SIGCHLD);
  flags |= sibling ? CLONE_PARENT : 0;
  const ProcessState* forker_state = find(forker.process->vpid.value());
  const std::uint64_t shared =
      forker_state != nullptr && leaders_.contains(forker_state->vpid) && leaders_[forker_state->vpid] == &forker
          ? shared_with(state, *forker_state)
          : 0;
  flags |= shared;
  BEAM_TRY_ASSIGN(const HostPid host, fork_from(forker, flags));
  auto process = std::make_shared<Process>();
  process->host = host;
  process->vpid = VirtualPid(state.vpid);
  process->spawned = state.parent == 0;
  process->parent_known = !state.adopted;
  process->parent = tracer_.shared().pids.to_host(VirtualPid(state.parent));
  process->dumpable_cleared = state.dumpable_cleared;
  process->set_view_root(state.view_root);
  process->space = (shared & CLONE_VM) != 0 ? forker.process->space
                                            : std::make_shared<interpose::AddressSpace>(*forker.process->space);
  if (!tracer_.shared().pids.bind(host, process->vpid)) {
    ::kill(host.value(), SIGKILL);
    return Error(EEXIST, "give a process the id " + std::to_string(state.vpid));
  }
  tracer_.shared().tasks.add_process(process);
  Task& task = tracer_.shared().tasks.add(host, process->vpid, process);
  task.no_new_privs = forker.no_new_privs.load();
  tracer_.hold(task, StoppedTracee(host), 0);
  leaders_[state.vpid] = &task;
  programs_[state.vpid] = programs_[forker.process->vpid.value()];
  if (!state.wait_status && programs_[state.vpid] != executable_of(state)) {
    BEAM_TRY(execute_program(state, task));
    BEAM_TRY(empty(task));
  }
  BEAM_TRY(set_subreaper(state));
  return &task;
}

// So that /proc/PID/exe and what the kernel derives from it are right. The agent has to be mapped anew.
Result<> Restorer::execute_program(const ProcessState& state, Task& task) {
  const std::string program = executable_of(state);
  const std::string what = "execute " + program;
  Remote remote(task);
  remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
  constexpr std::size_t kPathAt = 64;
  const std::string& name = state.threads.front().name;
  const std::uint64_t name_at = remote.scratch() + kPathAt;
  BEAM_TRY(remote.put_bytes(name.c_str(), name.size() + 1, kPathAt));
  const std::size_t path_offset = kPathAt + name.size() + 1;
  BEAM_TRY_ASSIGN(const std::uint64_t path_at, remote.put_bytes(program.c_str(), program.size() + 1, path_offset));
  const std::array<std::uint64_t, 3> words{name_at, 0, 0};  // argv, and an empty envp from the second on
  BEAM_TRY_ASSIGN(const std::uint64_t argv_at, remote.put(words));

  StoppedTracee tracee(task.tid);
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return Error(ESRCH, what);
  }
  regs->rip = BEAM_AGENT_GADGET;
  regs->rax = SYS_execve;
  regs->orig_rax = ~0ULL;
  regs->rdi = path_at;
  regs->rsi = argv_at;
  regs->rdx = argv_at + sizeof(std::uint64_t);
  tracee.set_regs_changed();
  // A failed exec runs into the int3 behind the gadget.
  int status = 0;
  if (!tracee.flush_regs() || ::ptrace(PTRACE_CONT, task.tid.value(), nullptr, nullptr) != 0 ||
      wait_for(task.tid, status) != 0 || !WIFSTOPPED(status)) {
    return Error(ESRCH, what);
  }
  if (event_of(status) != PTRACE_EVENT_EXEC) {
    user_regs_struct after{};
    ::ptrace(PTRACE_GETREGS, task.tid.value(), nullptr, &after);
    const auto code = static_cast<std::int64_t>(after.rax);
    return Error(code < 0 ? static_cast<int>(-code) : EIO, what);
  }
  task.process->space = std::make_shared<interpose::AddressSpace>();
  StoppedTracee fresh(task.tid);
  if (interpose::map_agent_at_exec(fresh, *task.process->space, tracer_.shared().clock_offsets, false) !=
          interpose::AgentMapping::kMapped ||
      !fresh.flush_regs()) {
    return Error(ESRCH, what);
  }
  programs_[state.vpid] = program;
  return success();
}

// Leaves the agent and the kernel's vDSO, which moves to where it is in nobody's way.
Result<> Restorer::empty(Task& task) {
  BEAM_TRY_ASSIGN(const auto ranges, read_memory_ranges(task.tid));
  Remote remote(task);
  interpose::AddressSpace& space = *task.process->space;
  const auto unmap = [&](std::uint64_t start, std::uint64_t end) -> Result<> {
    if (start < end) {
      BEAM_TRY(remote.call("unmap memory", SYS_munmap, start, end - start));
    }
    return success();
  };
  std::uint64_t vdso_start = 0;
  std::uint64_t vdso_end = 0;
  for (const MemoryRange& range : ranges) {
    if (is_kernels(range)) {
      vdso_start = vdso_start == 0 ? range.start : vdso_start;
      vdso_end = range.end;
    }
  }
  if (vdso_start == 0 || vdso_end - vdso_start > kVdsoRoom) {
    return Error(ENOENT, "find the kernel's vDSO in process " + std::to_string(task.process->vpid.value()));
  }
  BEAM_TRY(unmap(BEAM_AGENT_END, vdso_start));
  BEAM_TRY(unmap(vdso_end, kAddressLimit));
  for (const MemoryRange& range : ranges) {
    if (is_kernels(range) && vdso_start != vdso_place_) {
      BEAM_TRY(remote.call("move the vDSO", SYS_mremap, range.start, range.end - range.start, range.end - range.start,
                           MREMAP_MAYMOVE | MREMAP_FIXED, vdso_place_ + (range.start - vdso_start)));
    }
  }
  space.kernel_vdso += vdso_place_ - vdso_start;
  const interpose::AgentPage page = interpose::agent_page(space.kernel_vdso, 0, tracer_.shared().clock_offsets);
  if (task.process->space->agent_mapped && remote.memory().write(BEAM_AGENT_BASE, page.bytes, sizeof page.bytes) != 0) {
    return Error(ESRCH, "fill the agent's page");
  }
  return success();
}

}  // namespace beam::migrate
