// The first process of a tree: forked from the event thread, seized before it does anything, put behind the filter by
// its own hand, and executed.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "interpose/agent.h"
#include "interpose/filter.h"
#include "interpose/jail.h"
#include "interpose/message_traps.h"
#include "interpose/program.h"
#include "interpose/tracer.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace beam::interpose {
namespace {

constexpr unsigned long kTraceOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                                        PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT |
                                        PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;

// What the child tells its supervisor: where its listener is, or which step failed.
struct Report {
  int step;
  int value;  // listener's descriptor, or errno
};
enum Step : int { kListening = 1, kSession, kTerminal, kDirectory, kDescriptors, kPrivileges, kJail, kFilter, kExec };

const char* step_name(int step) {
  switch (step) {
    case kSession:
      return "setsid";
    case kTerminal:
      return "find the controlling terminal among the streams of";
    case kDirectory:
      return "enter working directory";
    case kDescriptors:
      return "set up descriptors";
    case kPrivileges:
      return "set no_new_privs";
    case kJail:
      return "enter the Landlock domain of";
    case kFilter:
      return "install the seccomp filter";
    default:
      return "execute";
  }
}

struct ChildPlan {
  const SpawnRequest& request;
  const std::vector<char*>& argv;
  const std::vector<char*>& envp;
  const sock_fprog& program;
  const sock_fprog& further;  // a filter to be stacked upon it; empty: none
  int control;                // a socket to the supervisor
  int jail;                   // a Landlock ruleset; -1: none
  std::vector<int>& parked;   // room for a copy of each descriptor, and of `control`
};

// Runs in the child: async-signal-safe calls only, as the supervisor has threads (fork(2)).
[[noreturn]] void run_child(const ChildPlan& plan) {
  const auto fail = [&](int step) {
    const Report report{step, errno};
    (void)::write(plan.control, &report, sizeof report);
    ::_exit(127);
  };
  const SpawnRequest& request = plan.request;
  char go = 0;
  if (::read(plan.control, &go, 1) != 1) {
    ::_exit(127);
  }
  if (request.new_session && ::setsid() < 0) {
    fail(kSession);
  }
  if (request.controlling_terminal) {
    const auto* terminal = request.stdio.begin();
    while (terminal != request.stdio.end() && ::isatty(*terminal) == 0) {
      ++terminal;
    }
    if (terminal == request.stdio.end() || ::ioctl(*terminal, TIOCSCTTY, 0) != 0) {
      fail(kTerminal);
    }
  }
  if (!request.working_directory.empty() && ::chdir(request.working_directory.c_str()) != 0) {
    fail(kDirectory);
  }
  // Here, as its descriptor is about to be closed.
  if (plan.jail >= 0 &&
      (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_landlock_restrict_self, plan.jail, 0) != 0)) {
    fail(kJail);
  }
  // Out of the way first, so that no source is overwritten before it has been copied.
  const std::size_t kept = 3 + request.inherit.size();
  const int control = static_cast<int>(kept);
  for (std::size_t i = 0; i <= kept; ++i) {
    const int from = i == kept ? plan.control : i < 3 ? request.stdio[i] : request.inherit[i - 3];
    plan.parked[i] = ::fcntl(from, F_DUPFD, control + 1);
    if (plan.parked[i] < 0) {
      fail(kDescriptors);
    }
  }
  for (std::size_t i = 0; i < kept; ++i) {
    ::dup2(plan.parked[i], static_cast<int>(i));
  }
  if (::dup3(plan.parked[kept], control, O_CLOEXEC) < 0) {
    fail(kDescriptors);
  }
  ::syscall(SYS_close_range, static_cast<unsigned>(control + 1), ~0U, 0);
  const auto report_and_exit = [&](int step) {
    const Report report{step, errno};
    (void)::write(control, &report, sizeof report);
    ::_exit(127);
  };
  ::umask(request.umask);
  if (request.open_files) {
    ::setrlimit(RLIMIT_NOFILE, &*request.open_files);
  }
  for (int signal = 1; signal <= 64; ++signal) {
    struct sigaction action {};
    action.sa_handler = ::sigismember(&request.ignored_signals, signal) == 1 ? SIG_IGN : SIG_DFL;
    ::sigaction(signal, &action, nullptr);
  }
  ::sigprocmask(SIG_SETMASK, &request.signal_mask, nullptr);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    report_and_exit(kPrivileges);
  }
  // First: behind the other filter, seccomp(2) itself is trapped.
  if (plan.further.len != 0 && ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &plan.further) != 0) {
    report_and_exit(kFilter);
  }
  const unsigned long base = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  long listener =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, base | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &plan.program);
  if (listener < 0) {
    report_and_exit(kFilter);
  }
  const Report report{kListening, static_cast<int>(listener)};
  if (::write(control, &report, sizeof report) != sizeof report || ::read(control, &go, 1) != 1) {
    ::_exit(127);
  }
  ::close(static_cast<int>(listener));
  ::execve(request.path.c_str(), plan.argv.data(), plan.envp.data());
  report_and_exit(kExec);
  ::_exit(127);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  list.reserve(strings.size() + 1);
  for (const auto& text : strings) {
    list.push_back(const_cast<char*>(text.c_str()));
  }
  list.push_back(nullptr);
  return list;
}

}  // namespace

unsigned Tracer::message_traps_of(const SpawnRequest& request) const {
  unsigned traps = shared_.message_traps;
  for (const int fd : request.stdio) {
    int family = 0;
    socklen_t size = sizeof family;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_UNIX) {
      traps |= kTrapSends;
    }
  }
  return traps;
}

// Forks, seizes and executes; returns at the exec event, with nothing in the task table yet.
Result<HostPid> Tracer::start_process(const SpawnRequest& request) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return Error::from_errno("make a socket pair for " + request.path);
  }
  UniqueFd ours(sockets[0]);
  UniqueFd theirs(sockets[1]);
  const auto argv = pointers(request.argv);
  const auto envp = pointers(request.envp);
  const bool shifted = shared_.clock_offsets.monotonic_ns != 0 || shared_.clock_offsets.boottime_ns != 0;
  const std::vector<sock_filter> filter =
      build_filter(SyscallTable::instance(), {.shifted_clocks = shifted, .has_view = shared_.view != nullptr});
  const sock_fprog program{static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  std::vector<sock_filter> further_code;
  if (const unsigned traps = message_traps_of(request); traps != 0) {
    further_code = message_filter(traps);
  }
  const sock_fprog further{static_cast<unsigned short>(further_code.size()), further_code.data()};
  std::vector<int> parked(4 + request.inherit.size());
  UniqueFd jail;
  if (shared_.view != nullptr) {
    BEAM_TRY_ASSIGN(jail, make_jail(*shared_.view, request.executables));
  }
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error::from_errno("fork for " + request.path);
  }
  if (pid == 0) {
    run_child({request, argv, envp, program, further, theirs.get(), jail.get(), parked});
  }
  theirs.reset();
  const auto give_up = [&](Error error) {
    ::kill(pid, SIGKILL);
    TEMP_FAILURE_RETRY(::waitpid(pid, nullptr, __WALL));
    return error;
  };
  // Seized with all options at once: from here on it cannot outlive the supervisor.
  if (::ptrace(PTRACE_SEIZE, pid, nullptr, kTraceOptions) != 0) {
    return give_up(Error::from_errno("trace " + request.path).remedy("see kernel.yama.ptrace_scope and `beam doctor`"));
  }
  // Until the exec it is Beam's own code: its stops are seen here, and its calls pass.
  const auto until_report = [&](Report& report) -> bool {
    // The child neither forks nor stops before its exec, so waiting on the socket alone is safe.
    return TEMP_FAILURE_RETRY(::recv(ours.get(), &report, sizeof report, 0)) == static_cast<ssize_t>(sizeof report);
  };
  const char go = 1;
  Report report{};
  if (::write(ours.get(), &go, 1) != 1 || !until_report(report)) {
    return give_up(Error(ECHILD, "start " + request.path));
  }
  if (report.step != kListening) {
    return give_up(Error(report.value, std::string(step_name(report.step)) + " " +
                                           (report.step == kDirectory ? request.working_directory : request.path)));
  }
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  UniqueFd listener(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), report.value, 0)));
  if (!listener) {
    return give_up(Error::from_errno("take over the seccomp listener of " + request.path));
  }
  ::fcntl(listener.get(), F_SETFD, FD_CLOEXEC);
  listeners_.add(std::move(listener));
  if (::write(ours.get(), &go, 1) != 1) {
    return give_up(Error(ECHILD, "start " + request.path));
  }
  // Either the exec event stops it, or its report of a failed exec arrives and it ends. Only from the event on does the
  // task table know it, so that the calls of Beam's own code are not translated.
  for (;;) {
    int status = 0;
    if (TEMP_FAILURE_RETRY(::waitpid(pid, &status, __WALL)) != pid) {
      return Error::from_errno("wait for " + request.path);
    }
    if (!WIFSTOPPED(status)) {
      int code = ECHILD;
      if (::recv(ours.get(), &report, sizeof report, MSG_DONTWAIT) == static_cast<ssize_t>(sizeof report)) {
        code = report.value;
      }
      return Error(code, "execute " + request.path);
    }
    if ((status >> 16) == PTRACE_EVENT_EXEC) {
      return HostPid(pid);
    }
    ::ptrace(PTRACE_CONT, pid, nullptr, (status >> 16) == 0 ? WSTOPSIG(status) : 0);
  }
}

Task& Tracer::add_spawned(HostPid host, VirtualPid vpid, unsigned message_traps) {
  auto process = std::make_shared<Process>();
  process->host = host;
  process->vpid = vpid;
  process->spawned = true;
  process->parent_known = true;
  process->message_traps = message_traps;
  process->space = std::make_shared<AddressSpace>();
  shared_.tasks.add_process(process);
  Task& task = shared_.tasks.add(host, vpid, process);
  task.no_new_privs = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;  // inherited, as by any child
  return task;
}

namespace {

// A first program that the workstation has by another path than the sandbox.
struct FirstProgram : CallInProgress {
  std::string name;
  void at_exit(ExitCall& /*call*/) override {}
  void executed(StoppedTracee& tracee, bool filtered) override { show_program_name(tracee, name, filtered); }
};

}  // namespace

// The request with the workstation's paths for those of the view.
Result<SpawnRequest> Tracer::in_view(const SpawnRequest& request) const {
  SpawnRequest seen = request;
  rootfs::View& view = *shared_.view;
  rootfs::Where where;
  rootfs::View::Opened directory;
  where.path = request.working_directory.empty() ? "/" : request.working_directory;
  if (const int error = view.open(where, O_PATH | O_DIRECTORY, 0, 0, directory); error != 0) {
    return Error(error, "enter working directory " + request.working_directory);
  }
  if (directory.by_kernel) {
    seen.working_directory = directory.host;
    where.base = directory.found.spot.view;
  }
  where.path = request.path;
  rootfs::Found executable;
  Program program;
  int error = view.find(where, rootfs::kFollow, executable);
  program.name = request.path;
  error = error != 0 ? error : find_program(view, where, std::move(executable), program);
  if (error != 0) {
    return request.is_own ? Result<SpawnRequest>(std::move(seen)) : Error(error, "execute " + request.path);
  }
  seen.path = program.host;
  if (seen.path.size() < request.path.size()) {
    seen.path.insert(0, request.path.size() - seen.path.size(), '/');
  }
  if (!program.prefix.empty()) {
    if (!seen.argv.empty()) {
      seen.argv.erase(seen.argv.begin());
    }
    seen.argv.insert(seen.argv.begin(), program.prefix.begin(), program.prefix.end());
  }
  return seen;
}

Result<Spawned> Tracer::spawn(const SpawnRequest& request) {
  SpawnRequest seen;
  if (shared_.view != nullptr) {
    BEAM_TRY_ASSIGN(seen, in_view(request));
  }
  BEAM_TRY_ASSIGN(const HostPid host, start_process(shared_.view != nullptr ? seen : request));
  const VirtualPid vpid = shared_.pids.allocate(host);
  Task& task = add_spawned(host, vpid, message_traps_of(request));
  if (shared_.view != nullptr && seen.path != request.path) {
    auto first = std::make_unique<FirstProgram>();
    first->name = request.path;
    task.call = std::move(first);
  }
  on_exec(task, StoppedTracee(host));
  return Spawned{vpid, host};
}

Result<Task*> Tracer::spawn_held(const SpawnRequest& request, VirtualPid vpid) {
  BEAM_TRY_ASSIGN(const HostPid host, start_process(request));
  if (!shared_.pids.bind(host, vpid)) {
    ::kill(host.value(), SIGKILL);
    return Error(EEXIST, "give " + request.path + " the id " + std::to_string(vpid.value()));
  }
  Task& task = add_spawned(host, vpid, message_traps_of(request));
  StoppedTracee tracee(host);
  if (map_agent_at_exec(tracee, *task.process->space, shared_.clock_offsets, false) != AgentMapping::kMapped) {
    return Error(ESRCH, "map the agent into " + request.path);
  }
  task.no_new_privs = true;  // unless the image says otherwise
  hold(task, std::move(tracee), 0);
  return &task;
}

}  // namespace beam::interpose
