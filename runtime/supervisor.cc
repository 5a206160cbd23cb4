#include "runtime/supervisor.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
#include "runtime/supervisor_process.h"

namespace beam::runtime {
namespace {

constexpr int kBeamFailed = 125;
constexpr int kExitFrozen = 85;
constexpr int kImageDamaged = 5;
constexpr unsigned kNameAttempts = 32;

Failed failed(int exit_status, const Error& error) {
  return Failed{exit_status, error.code(), error.message()};
}

// Errors that execve(2) itself gives for a file that can't be run, as opposed to a failure of Beam.
bool is_launch_error(int code) {
  constexpr std::array<int, 10> kCodes = {ENOENT,  EACCES,  ENOEXEC, ENOTDIR,      ELOOP,
                                          ETXTBSY, ELIBBAD, EISDIR,  ENAMETOOLONG, E2BIG};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

}  // namespace

int exit_status_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Supervisor::Supervisor(RunConfig config, RecordStore store, std::array<UniqueFd, 3> caller_streams)
    : config_(std::move(config)), store_(std::move(store)), caller_streams_(std::move(caller_streams)) {
  ::sigprocmask(SIG_SETMASK, nullptr, &inherited_mask_);
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) {
      ::sigaddset(&inherited_ignored_, signal);
    }
  }
  // A limit of file sizes (setrlimit(2)) is an error of the freeze that meets it, and not the end of the sandbox.
  ::signal(SIGXFSZ, SIG_IGN);
}
Supervisor::~Supervisor() = default;

Result<UniqueFd> Supervisor::launch(RunConfig config, RecordStore store, const sigset_t& mask) {
  BEAM_TRY_ASSIGN(auto ends, make_socket_pair());
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error::from_errno("cannot start a supervisor");
  }
  if (pid == 0) {
    ends.first.reset();
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    main(std::move(config), std::move(store), std::move(ends.second));
  }
  return std::move(ends.first);
}

void Supervisor::main(RunConfig config, RecordStore store, UniqueFd session_socket) {
  // Three threads allocate little; an arena for each would cost more than it saves.
  ::mallopt(M_ARENA_MAX, 1);
  auto streams = detach_from_caller({session_socket.get(), config.trace_file.get()});
  try {
    Supervisor self(std::move(config), std::move(store), std::move(streams));
    auto session = std::make_shared<Session>(self.io_, self, std::move(session_socket));
    self.sessions_.push_back(session);
    self.command_session_ = session;
    const auto started = self.start(session);
    if (!started.ok()) {
      int status = kBeamFailed;
      if (self.config_.thaw) {
        status = started.error().code() == migrate::kDamaged ? kImageDamaged
                 : self.config_.record.detached              ? 1
                                                             : kBeamFailed;
      }
      self.abandon_launch(failed(status, started.error()));
    }
    session->start();
    session.reset();
    self.io_.run();
    self.engine_.reset();
  } catch (const std::exception& fault) {
    // asio and the allocator throw when the machine has run out of something. Nothing of the sandbox outlives this
    // process.
    BEAM_LOG_ERROR(kRuntime, "supervisor: {}", fault.what());
    ::_exit(kBeamFailed);
  }
  ::_exit(0);
}

Result<> Supervisor::start(const std::shared_ptr<Session>& session) {
  BEAM_TRY_ASSIGN(config_.record.supervisor, ProcessIdentity::of(::getpid()));
  config_.record.created_ms = now_ms();
  config_.record.workstation = workstation_name();
  BEAM_TRY_ASSIGN(network_, make_network(config_.record));
  BEAM_TRY(listen());
  BEAM_TRY(add_record());
  ::prctl(PR_SET_NAME, ("beam:" + config_.record.name).c_str());
  const std::string log = store_.file(config_.record.name, kSupervisorLog);
  if (!log::log_to_file(log)) {
    return Error::from_errno(log + ": cannot create");
  }
  redirect_stderr(log);
  signals_.add(SIGTERM);
  signals_.async_wait([this](const std::error_code& fault, int) {
    if (!fault) {
      stop();
    }
  });
  return config_.thaw ? thaw(session) : start_command(session);
}

Result<> Supervisor::listen() {
  BEAM_TRY_ASSIGN(auto socket, listen_below_runtime_directory(config_.record.socket));
  listener_ = std::make_unique<asio::posix::stream_descriptor>(io_, socket.release());
  accept();
  return success();
}

Result<> Supervisor::add_record() {
  SandboxRecord& record = config_.record;
  const bool generated = record.name.empty();
  for (unsigned attempt = 0; attempt < kNameAttempts; ++attempt) {
    if (generated) {
      record.name = generate_name(attempt);
    }
    if (record.host_name.empty()) {
      record.host_name = workstation_name();
    }
    const bool own_group = record.group.empty();
    if (own_group) {
      record.group = record.name;
    }
    auto added = store_.add(record);
    if (added.ok()) {
      recorded_ = true;
      return success();
    }
    if (added.error().code() != EEXIST) {
      return std::move(added).error();
    }
    if (!generated && config_.thaw) {
      auto replaced = store_.replace(record);
      if (replaced.ok()) {
        recorded_ = true;
        replaced_record_ = std::move(*replaced);
        return success();
      }
      if (replaced.error().code() != EEXIST) {
        return std::move(replaced).error();
      }
      return Error(0, record.name + ": the name is in use").remedy("thaw it under another: --name NEW");
    }
    if (!generated) {
      return Error(0, record.name + ": the name is in use")
          .remedy("choose another, or remove that sandbox: beam rm " + record.name);
    }
    if (own_group) {
      record.group.clear();
    }
  }
  return Error(0, store_.home() + ": no free name found").remedy("name the sandbox with --name, or run: beam prune");
}

// The caller's streams, or a detached sandbox's.
Result<StreamSources> Supervisor::take_streams() {
  StreamSources sources;
  if (config_.record.detached) {
    BEAM_TRY_ASSIGN(sources, detached_streams(store_, config_.record.name, config_.keep_stdin));
    stdin_keeper_ = std::move(sources.stdin_keeper);
    // Whoever waits for the end of the caller's streams must not wait for the sandbox.
    caller_streams_ = {};
  } else {
    sources.streams = std::move(caller_streams_);
  }
  return sources;
}

Result<> Supervisor::start_command(const std::shared_ptr<Session>& session) {
  const SandboxRecord& record = config_.record;
  std::shared_ptr<Console> console;
  if (config_.streams.terminal_mask != 0) {
    BEAM_TRY_ASSIGN(console, Console::open(io_, config_.streams));
  }
  StreamSources sources;
  BEAM_TRY_ASSIGN(sources, take_streams());
  if (record.detached && console) {
    console->set_log(sources.streams[1].release());
  }
  BEAM_TRY(connect_terminal(sources.streams, config_.streams.terminal_mask, console ? console->slave() : -1));

  interpose::EngineOptions options;
  options.host_name = record.host_name;
  options.network = network_;
  options.outside = record.network != kNetworkNone;
  options.trace_classes = config_.trace_classes;
  if (config_.trace) {
    if (!config_.trace_file) {
      config_.trace_file = UniqueFd(::fcntl(sources.streams[2].get(), F_DUPFD_CLOEXEC, 3));
    }
    options.trace_fd = config_.trace_file.get();
  }
  BEAM_TRY_ASSIGN(options.view, view_options());
  BEAM_TRY_ASSIGN(engine_, interpose::Engine::start(std::move(options), *this));

  interpose::SpawnRequest request;
  request.envp = config_.environment;
  request.working_directory = record.working_directory;
  request.umask = config_.umask;
  inherit(request);
  for (std::size_t i = 0; i < 3; ++i) {
    request.stdio[i] = sources.streams[i].get();
  }
  request.controlling_terminal = console != nullptr;
  std::array<int, 2> report{-1, -1};
  const bool own_init = is_init(config_.executable);
  if (own_init) {
    request.path = config_.executable;
    request.argv = record.command;
  } else {
    BEAM_TRY_ASSIGN(request.path, helper_path("beam-init"));
    request.is_own = true;
    request.argv = {"beam-init"};
    if (config_.streams.foreground) {
      request.argv.emplace_back("--foreground");
    }
    request.argv.emplace_back("--");
    request.argv.push_back(config_.executable);
    request.argv.insert(request.argv.end(), record.command.begin(), record.command.end());
    if (::pipe2(report.data(), O_CLOEXEC) != 0) {
      return Error::from_errno("make a pipe");
    }
    request.inherit = {report[1]};
    report_ = std::make_unique<asio::posix::stream_descriptor>(io_, report[0]);
  }
  const UniqueFd report_end(report[1]);
  auto spawned = engine_->spawn(request);
  if (!spawned.ok()) {
    if (own_init && is_launch_error(spawned.error().code())) {
      abandon_launch(Failed{launch_failure_status(spawned.error().code()), spawned.error().code(),
                            launch_failure_message(record.command.front(), spawned.error().code())});
      return success();
    }
    return std::move(spawned).error();
  }
  command_root_ = spawned->pid;
  jobs_[command_root_] = Job{command_root_, command_root_, console, false, {}};
  stream_names_ = stand_ins(sources.streams, config_.streams.terminal_mask);
  session->follow(command_root_, console, false);
  if (own_init) {
    command_executed();
  } else {
    read_report();
  }
  return success();
}

Result<std::optional<rootfs::ViewOptions>> Supervisor::view_options() const {
  if (!config_.mounts) {
    return std::optional<rootfs::ViewOptions>();
  }
  rootfs::MountOptions mounts = *config_.mounts;
  const std::string& socket = config_.record.socket;
  mounts.own = {store_.home(), socket.substr(0, socket.rfind('/'))};
  rootfs::ViewOptions view;
  view.layer = store_.file(config_.record.name, kLayer);
  BEAM_TRY_ASSIGN(view.mounts, rootfs::plan_mounts(mounts));
  return std::optional(std::move(view));
}

void Supervisor::read_report() {
  asio::async_read(*report_, asio::buffer(&report_buffer_, sizeof report_buffer_),
                   [this](const std::error_code& fault, std::size_t) {
                     if (fault) {
                       report_.reset();
                       if (!launch_failure_) {
                         command_executed();
                       }
                       run_deferred();
                       finish();
                       return;
                     }
                     if (report_buffer_.kind == kInitReportPid) {
                       if (const auto job = jobs_.find(command_root_); job != jobs_.end()) {
                         job->second.target = VirtualPid(report_buffer_.value);
                       }
                     } else if (!launch_failure_) {
                       const int code = report_buffer_.value;
                       launch_failure_ = Failed{launch_failure_status(code), code,
                                                launch_failure_message(config_.record.command.front(), code)};
                     }
                     read_report();
                   });
}

void Supervisor::command_executed() {
  // A command that has ended already was executed as well, unless PID 1 was killed before it could say.
  const auto session = command_session_;
  if (!session) {
    return;
  }
  const auto job = jobs_.find(command_root_);
  const Started started{config_.record.name, job != jobs_.end() ? job->second.target.value() : 0};
  if (config_.record.detached) {
    command_session_.reset();
    session->send_last(started);
  } else {
    session->wait_for_end();
    session->send(started);
  }
}

void Supervisor::abandon_launch(Failed failure) {
  BEAM_LOG_INFO(kRuntime, "not started: {}", failure.message);
  launch_failure_ = std::move(failure);
  engine_.reset();
  empty_ = true;
  finish();
}

void Supervisor::accept() {
  listener_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& fault) {
    if (fault) {
      return;
    }
    auto client = accept_own_user(listener_->native_handle());
    if (client.ok()) {
      auto session = std::make_shared<Session>(io_, *this, std::move(client).value());
      sessions_.push_back(session);
      session->start();
    } else {
      BEAM_LOG_WARN(kRuntime, "a client was refused: {}", client.error().message());
    }
    accept();
  });
}

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
      session.send_last(failed(kBeamFailed, spawned.error()));
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
  const std::string& name = config_.record.name;
  ended_ = end_message(command_status_.value_or(kBeamFailed));
  if (const auto job = jobs_.find(command_root_); job != jobs_.end() && job->second.console) {
    job->second.console->drain();
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
