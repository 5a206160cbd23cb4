// What clients ask of a running sandbox.
#include "runtime/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <asio/read.hpp>
#include <cstring>

#include "base/log.h"
#include "runtime/launch.h"
#include "runtime/local_socket.h"
#include "runtime/network.h"
#include "runtime/paths.h"
#include "runtime/sandbox_name.h"
#include "runtime/session.h"
#include "runtime/supervisor_exit.h"
#include "runtime/supervisor_process.h"

namespace beam::runtime {

Result<> Supervisor::exec(Session& session, ExecRequest request, std::vector<UniqueFd> fds) {
  if (busy_) {
    defer(session, [this, request = std::move(request), fds = std::make_shared<std::vector<UniqueFd>>(std::move(fds))](
                       Session& later) mutable { return exec(later, std::move(request), std::move(*fds)); });
    return success();
  }
  if (ending()) {
    return Error(0, config_.record.name + ": is ending");
  }
  if (request.argv.empty()) {
    return Error(EPROTO, "exec without a command");
  }
  const auto environment = make_environment(config_.environment, request.environment, request.unset_environment);
  interpose::SpawnRequest spawn;
  spawn.argv = request.argv;
  spawn.envp = environment;
  spawn.working_directory =
      request.working_directory.empty() ? config_.record.working_directory : request.working_directory;
  spawn.umask = static_cast<mode_t>(request.umask) & 0777;
  inherit(spawn);
  // What there is to execute, the mount view says; without one, the workstation.
  auto candidates = executable_candidates(request.argv.front(), environment);
  if (!config_.mounts) {
    auto path = find_executable(request.argv.front(), environment, spawn.working_directory);
    if (!path.ok()) {
      const int code = path.error().code();
      session.send_last(Failed{launch_failure_status(code), code, launch_failure_message(request.argv.front(), code)});
      return success();
    }
    candidates = {std::move(path).value()};
  }

  std::shared_ptr<Console> console;
  if (request.streams.terminal_mask != 0) {
    BEAM_TRY_ASSIGN(console, Console::open(io_, request.streams));
  }
  std::array<UniqueFd, 3> streams;
  auto next = fds.begin();
  for (std::size_t i = 0; i < 3; ++i) {
    if ((request.streams.terminal_mask & (1U << i)) == 0) {
      if (next == fds.end()) {
        return Error(EPROTO, "exec without stream " + std::to_string(i));
      }
      streams[i] = std::move(*next++);
    }
  }
  BEAM_TRY(connect_terminal(streams, request.streams.terminal_mask, console ? console->slave() : -1));
  for (std::size_t i = 0; i < 3; ++i) {
    spawn.stdio[i] = streams[i].get();
  }
  spawn.controlling_terminal = console != nullptr;
  Result<interpose::Spawned> spawned = Error(ENOENT, request.argv.front());
  for (const std::string& candidate : candidates) {
    spawn.path = candidate;
    spawned = engine_->spawn(spawn);
    if (spawned.ok() || (spawned.error().code() != ENOENT && spawned.error().code() != ENOTDIR)) {
      break;
    }
  }
  if (!spawned.ok() && spawned.error().code() == ENOEXEC && looks_like_shell_script(spawn.path)) {
    spawn.argv.erase(spawn.argv.begin());
    spawn.argv.insert(spawn.argv.begin(), {"sh", spawn.path});
    spawn.path = "/bin/sh";
    spawned = engine_->spawn(spawn);
  }
  if (!spawned.ok()) {
    const int code = spawned.error().code();
    if (is_launch_error(code)) {
      session.send_last(Failed{launch_failure_status(code), code, launch_failure_message(request.argv.front(), code)});
    } else {
      session.send_last(failed(kExitBeamFailed, spawned.error()));
    }
    return success();
  }
  Job& job = jobs_[spawned->pid] = Job{spawned->pid, spawned->pid, console, false, {}};
  job.streams = stand_ins(streams, request.streams.terminal_mask);
  session.follow(spawned->pid, console, false);
  session.send(Started{config_.record.name, spawned->pid.value()});
  return success();
}

Result<> Supervisor::attach(Session& session, const AttachRequest& request) {
  const auto job = jobs_.find(command_root_);
  if (job == jobs_.end() || command_status_) {
    return Error(0, config_.record.name + ": is ending");
  }
  if (!job->second.console) {
    return Error(0, config_.record.name + ": has no terminal")
        .remedy("run it with -t, or see its output with: beam logs");
  }
  session.send(Started{config_.record.name, job->second.target.value()});
  session.follow(command_root_, job->second.console, true);
  session.wait_for_end();
  job->second.console->resize(request.window, true);
  resume(session, Resume{true});
  return success();
}

Status Supervisor::status() const {
  Status status;
  if (const auto job = jobs_.find(command_root_); job != jobs_.end()) {
    status.command_vpid = job->second.target.value();
    status.stopped = job->second.stopped;
  }
  if (engine_) {
    for (const auto& process : engine_->processes()) {
      ProcessStatus entry{process.vpid.value(), process.parent.value(), process.host_pid.value(), {}};
      for (const auto& thread : process.threads) {
        entry.vtids.push_back(thread.vtid.value());
      }
      status.processes.push_back(std::move(entry));
    }
  }
  return status;
}

Result<> Supervisor::kill(VirtualPid target, int signal) {
  if (target.value() == 0) {
    const auto job = jobs_.find(command_root_);
    if (job == jobs_.end()) {
      return Error(ESRCH, config_.record.name);
    }
    target = job->second.target;
  }
  if (!engine_) {
    return Error(ESRCH, config_.record.name);
  }
  auto sent = engine_->signal(target, signal);
  if (!sent.ok()) {
    return Error(sent.error().code(), config_.record.name + ":" + std::to_string(target.value()));
  }
  return sent;
}

void Supervisor::forward(Session& session, const Forward& message) {
  const auto found = jobs_.find(session.followed());
  if (found == jobs_.end() || !engine_) {
    return;
  }
  const Job& job = found->second;
  if (message.to_group) {
    const pid_t own = engine_->to_host(job.target).value();
    pid_t group = own > 0 ? ::getpgid(own) : -1;
    if (job.console && job.console->foreground_group() > 0 &&
        job.console->foreground_group() != engine_->to_host(job.root).value()) {
      group = job.console->foreground_group();
    }
    if (group > 0 && ::kill(-group, message.signal) == 0) {
      return;
    }
  }
  const auto sent = engine_->signal(job.target, message.signal);
  if (!sent.ok()) {
    BEAM_LOG_DEBUG(kRuntime, "signal {}: {}", message.signal, sent.error().message());
  }
}

void Supervisor::resume(Session& session, const Resume& message) {
  const auto found = jobs_.find(session.followed());
  if (found == jobs_.end() || !engine_) {
    return;
  }
  const Job& job = found->second;
  session.resumed();
  if (message.foreground && job.root != job.target) {
    // The init makes COMMAND the foreground group and continues it.
    const auto sent = engine_->signal(job.root, SIGCONT);
    if (!sent.ok()) {
      BEAM_LOG_DEBUG(kRuntime, "continue: {}", sent.error().message());
    }
    return;
  }
  forward(session, Forward{SIGCONT, true});
}

void Supervisor::stop() {
  // A freeze holds the event thread, and may be waiting for this one.
  if (busy_) {
    deferred_.push_back([this] { stop(); });
  } else if (engine_) {
    engine_->kill_all();
  }
}

}  // namespace beam::runtime
