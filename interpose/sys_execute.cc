// Calls that enter a path or execute it: chdir(2), execve(2), execveat(2). The kernel does them, by the workstation's
// path where that differs.
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "interpose/host_path.h"
#include "interpose/program.h"
#include "interpose/robust_list.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

using Kind = rootfs::ProcNode::Kind;

const GuestFd kHere{AT_FDCWD};

// By the workstation's path where it differs.
Answer by_host_path(const AnswerCall& call, GuestFd dir, GuestPath path, bool follow, bool enters) {
  const auto node = call.shared.proc->look(call.caller, dir, path, follow);
  if (!node) {
    return Answer::pass();
  }
  if (node->kind == Kind::kError) {
    return Answer::error(node->error);
  }
  if (enters) {
    call.shared.proc->note_opened(*node, O_PATH);
  }
  return node->native ? Answer::pass() : Answer::escalate();
}

// From where the caller is, for a directory that no path leads to as a whole. When another thread moves on meanwhile,
// the kernel ends up where that thread may be, or at a place that the view does not have.
std::string from_here(const Caller& caller, const std::string& host) {
  const auto here = ProcView::host_path_of(caller, kHere);
  if (!here) {
    return host;
  }
  if (host.starts_with(*here + "/")) {
    return host.substr(here->size() + 1);
  }
  if (!here->starts_with(host + "/")) {
    return host;
  }
  std::string up = "..";
  for (auto i = std::count(here->begin() + static_cast<std::ptrdiff_t>(host.size()), here->end(), '/'); i > 1; --i) {
    up += "/..";
  }
  return up;
}

// What the kernel has to enter: its path on the workstation, checked as the caller.
Rewrite enter_in_view(RewriteCall& call, GuestPath path) {
  const Caller caller = caller_of(call);
  ViewPath argument(call.shared(), caller);
  rootfs::View::Opened opened;
  int error = argument.read(kHere, path);
  error = error != 0 ? error : call.shared().view->open(argument.where(), O_PATH | O_DIRECTORY, 0, 0, opened);
  if (error != 0) {
    return Rewrite::error(error);
  }
  if (opened.by_kernel) {
    return with_view_path(call, opened.host.size() < PATH_MAX ? opened.host : from_here(caller, opened.host), 0);
  }
  if (opened.found.kind == rootfs::Found::Kind::kProc) {
    call.shared().proc->note_opened(opened.found.proc, O_PATH);
  }
  return with_host_path(call, opened.found.proc, 0);
}

BEAM_SYSCALL(chdir, Strategy::kAnswer, GuestPath path) {
  if (call.shared.view != nullptr) {
    return Answer::escalate();
  }
  return by_host_path(call, kHere, path, true, true);
}
BEAM_ESCALATED(chdir, GuestPath path) {
  if (call.shared().view != nullptr) {
    return enter_in_view(call, path);
  }
  return with_host_path(call, kHere, path, 0, true);
}

// An exec ends the thread for those who wait for its robust locks. Seen to its exit when it fails; success discards it.
struct ExecCall : HostPathCall {
  bool locks_renamed = false;
  std::string name;
  void executed(StoppedTracee& tracee, bool is_filtered) override { show_program_name(tracee, name, is_filtered); }
  void at_exit(ExitCall& call) override { rename_back(call); }
  void at_restart(ExitCall& call) override { rename_back(call); }

 private:
  void rename_back(const ExitCall& call) const {
    const Task& task = call.task();
    if (locks_renamed) {
      rename_robust_owner(task.tid, call.memory(), task.process->host.value(), task.vtid.value());
    }
  }
};

Answer execute(const AnswerCall& call, GuestFd dir, GuestPath path, bool follow) {
  if (call.shared.view != nullptr) {
    return Answer::escalate();
  }
  Answer answer = by_host_path(call, dir, path, follow, false);
  const bool passes = answer.kind() == Answer::Kind::kPass;
  return passes && holds_robust_futexes(call.caller.tid, call.memory()) ? Answer::escalate() : std::move(answer);
}

bool closes_on_exec(const Caller& caller, GuestFd fd) {
  std::ifstream info("/proc/" + std::to_string(caller.tid.value()) + "/fdinfo/" + std::to_string(fd.value()));
  std::string name;
  std::string value;
  while (info >> name >> value) {
    if (name == "flags:") {
      return (std::strtol(value.c_str(), nullptr, 8) & O_CLOEXEC) != 0;
    }
  }
  return false;
}

Rewrite execute_in_view(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, int flags) {
  const Caller caller = caller_of(call);
  ViewPath argument(call.shared(), caller);
  if (const int error = argument.read(dir, path, (flags & AT_EMPTY_PATH) != 0); error != 0) {
    return Rewrite::error(error);
  }
  auto progress = std::make_unique<ExecCall>();
  rootfs::Found found;
  Program program;
  // What a script's interpreter opens, and the program is told (fs/exec.c, alloc_bprm).
  const bool by_descriptor = argument.is_descriptor() || (dir.value() != AT_FDCWD && !argument.path().starts_with('/'));
  if (by_descriptor) {
    program.closes = closes_on_exec(caller, dir);
    program.name = "/dev/fd/" + std::to_string(dir.value()) + (argument.is_descriptor() ? "" : "/" + argument.path());
  } else {
    program.name = argument.path();
  }
  ViewPath here(call.shared(), caller);  // where a relative interpreter is looked for
  if (const int error = here.set(GuestFd{AT_FDCWD}, "."); error != 0 && error != ENOENT) {
    return Rewrite::error(error);
  }
  {
    const ActAs acting(caller);
    const bool follow = (flags & AT_SYMLINK_NOFOLLOW) == 0 || argument.is_descriptor();
    int error = call.shared().view->find(argument.where(), follow ? unsigned{rootfs::kFollow} : 0U, found);
    error = error != 0 ? error : find_program(*call.shared().view, here.where(), std::move(found), program);
    if (error != 0) {
      return Rewrite::error(error);
    }
  }
  // By descriptor the kernel finds the very file, and names the task as it always does.
  const std::uint64_t nothing = argument.is_descriptor() ? call.put(*progress, "", 1) : 0;
  if (nothing != 0 && program.prefix.empty()) {
    call.set_arg(*progress, index, nothing);
  } else {
    const user_regs_struct* regs = call.tracee().regs();
    const std::uint64_t argv = regs == nullptr ? 0 : raw_args(*regs)[index + 1];
    if (const int error = place_program(call, *progress, program, index, argv); error != 0) {
      call.tracer().release_slots(call.task(), progress->slots);
      return Rewrite::error(error);
    }
    if (index == 1 && argument.is_descriptor()) {
      call.set_arg(*progress, 4, 0);
    }
    progress->name = program.name;
  }
  const Task& task = call.task();
  if (holds_robust_futexes(task.tid, call.memory())) {
    rename_robust_owner(task.tid, call.memory(), task.vtid.value(), task.process->host.value());
    progress->locks_renamed = true;
  }
  return Rewrite::until_exit(std::move(progress));
}

Rewrite execute_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, int flags) {
  if (call.shared().view != nullptr) {
    return execute_in_view(call, dir, path, index, flags);
  }
  const bool follow = (flags & AT_SYMLINK_NOFOLLOW) == 0;
  auto progress = std::make_unique<ExecCall>();
  ExecCall& exec = *progress;
  const auto node = call.shared().proc->look(caller_of(call), dir, path, follow);
  const bool native = !node || (node->native && node->kind != Kind::kError);
  Rewrite rewrite =
      native ? Rewrite::until_exit(std::move(progress)) : with_host_path(call, *node, index, std::move(progress));
  const Task& task = call.task();
  if (rewrite.kind() == Rewrite::Kind::kUntilExit && holds_robust_futexes(task.tid, call.memory())) {
    rename_robust_owner(task.tid, call.memory(), task.vtid.value(), task.process->host.value());
    exec.locks_renamed = true;
  }
  return rewrite;
}

BEAM_SYSCALL(execve, Strategy::kAnswer, GuestPath path, RemotePtr<CString> argv, RemotePtr<void> envp) {
  (void)argv, (void)envp;
  return execute(call, kHere, path, true);
}
BEAM_ESCALATED(execve, GuestPath path) {
  return execute_at_stop(call, kHere, path, 0, 0);
}

BEAM_SYSCALL(execveat, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<CString> argv, RemotePtr<void> envp,
             AtFlags flags) {
  (void)argv, (void)envp;
  return execute(call, dir, path, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}
BEAM_ESCALATED(execveat, GuestFd dir, GuestPath path, RemotePtr<void>, RemotePtr<void>, AtFlags flags) {
  return execute_at_stop(call, dir, path, 1, flags.value);
}

}  // namespace
}  // namespace beam::interpose
