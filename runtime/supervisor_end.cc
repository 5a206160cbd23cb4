// What the engine tells of processes, and the end of the sandbox.
#include "runtime/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
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

void Supervisor::on_exit(VirtualPid pid, int wait_status) {
  asio::post(io_, [this, pid, wait_status] { exited(pid, wait_status); });
}

void Supervisor::on_empty() {
  asio::post(io_, [this] {
    empty_ = true;
    finish();
  });
}

void Supervisor::on_stop(VirtualPid pid, int signal) {
  asio::post(io_, [this, pid, signal] { stopped(pid, signal); });
}

void Supervisor::on_continue(VirtualPid pid) {
  asio::post(io_, [this, pid] { continued(pid); });
}

void Supervisor::inherit(interpose::SpawnRequest& request) const {
  request.signal_mask = inherited_mask_;
  request.ignored_signals = inherited_ignored_;
  request.open_files = inherited_files_;
}

void Supervisor::stopped(VirtualPid pid, int signal) {
  for (auto& [root, job] : jobs_) {
    if (job.target != pid) {
      continue;
    }
    const bool asks_for_terminal = job.console && (signal == SIGTTIN || signal == SIGTTOU);
    // The init lets it go on in the foreground.
    job.stopped = !asks_for_terminal || job.root == job.target;
    for (const auto& session : std::list(sessions_)) {
      if (session->followed() != root) {
        continue;
      }
      if (asks_for_terminal) {
        session->send(WantsTerminal{signal == SIGTTOU});
      } else {
        session->tell_stopped(signal);
      }
    }
  }
}

void Supervisor::continued(VirtualPid pid) {
  for (auto& [root, job] : jobs_) {
    if (job.target != pid) {
      continue;
    }
    job.stopped = false;
    for (const auto& session : sessions_) {
      if (session->followed() == root) {
        session->tell_continued();
      }
    }
  }
}

void Supervisor::exited(VirtualPid pid, int wait_status) {
  const auto found = jobs_.find(pid);
  if (found == jobs_.end()) {
    return;
  }
  if (pid == command_root_) {
    command_status_ = exit_status_of(wait_status);
    stop();
    return;
  }
  if (moved_to_) {
    return;  // leave() tells its client
  }
  const Job job = std::move(found->second);
  jobs_.erase(found);
  if (job.console) {
    job.console->drain();
  }
  for (const auto& session : std::list(sessions_)) {
    if (session->followed() == pid) {
      session->send_last(end_message(exit_status_of(wait_status)));
    }
  }
}

Ended Supervisor::end_message(int exit_status) const {
  return frozen_image_ ? Ended{kExitFrozen, *frozen_image_} : Ended{exit_status, ""};
}

void Supervisor::finish() {
  if (!empty_ || ended_ || busy_ || (!command_status_ && !launch_failure_)) {
    return;
  }
  if (report_) {
    // What PID 1 had to say comes first: whether COMMAND was executed at all. Reading it to its end calls this again.
    return;
  }
  if (moved_to_) {
    leave();
    return;
  }
  const std::string& name = config_.record.name;
  ended_ = end_message(command_status_.value_or(kExitBeamFailed));
  if (const auto job = jobs_.find(command_root_); job != jobs_.end() && job->second.console) {
    job->second.console->drain();
  }
  // Before anybody hears of the end, and thaws it.
  publisher_.reset();
  if (network_.space) {
    network_.space->leave();
    if (network_.group) {
      network_.group->leave();
    }
  }
  if (recorded_) {
    const auto kept = launch_failure_ || config_.record.remove_at_end
                          ? store_.remove(name)
                          : store_.finish(name, SandboxEnd{ended_->exit_status, ended_->image, now_ms()});
    if (!kept.ok()) {
      BEAM_LOG_ERROR(kRuntime, "record of {}: {}", name, kept.error().message());
    }
    if (!replaced_record_.empty()) {
      store_.restore_replaced(name, replaced_record_);
    }
  }
  if (listener_) {
    listener_->close();
    unlink_socket(config_.record.socket);
  }
  for (const auto& session : std::list(sessions_)) {
    if (launch_failure_ && session == command_session_) {
      session->send_last(*launch_failure_);
    } else if (session == freezer_session_) {
      session->send_last(freezer_reply_);
    } else if (session->waits_for_end()) {
      session->send_last(*ended_);
    } else {
      session->close();
    }
  }
  command_session_.reset();
  freezer_session_.reset();
  stop_when_told();
}

void Supervisor::forget(Session& session) {
  // Posted: the session may be in the middle of a call.
  asio::post(io_, [this, address = &session] {
    std::erase_if(sessions_, [address](const auto& entry) { return entry.get() == address; });
    stop_when_told();
  });
}

void Supervisor::stop_when_told() {
  if (ended_ && sessions_.empty()) {
    io_.stop();
  }
}

}  // namespace beam::runtime
