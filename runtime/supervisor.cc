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
#include "runtime/relay.h"
#include "runtime/sandbox_name.h"
#include "runtime/session.h"
#include "runtime/supervisor_exit.h"
#include "runtime/supervisor_process.h"

namespace beam::runtime {
namespace {

constexpr int kImageDamaged = 5;
constexpr unsigned kNameAttempts = 32;

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
  ::getrlimit(RLIMIT_NOFILE, &inherited_files_);
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
      int status = kExitBeamFailed;
      if (self.config_.thaw) {
        status = started.error().code() == migrate::kDamaged ? kImageDamaged
                 : self.config_.record.detached              ? 1
                                                             : kExitBeamFailed;
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
    ::_exit(kExitBeamFailed);
  }
  ::_exit(0);
}

Result<> Supervisor::start(const std::shared_ptr<Session>& session) {
  BEAM_TRY_ASSIGN(config_.record.supervisor, ProcessIdentity::of(::getpid()));
  config_.record.created_ms = now_ms();
  config_.record.workstation = workstation_name();
  BEAM_TRY(listen());
  BEAM_TRY(add_record());
  ::prctl(PR_SET_NAME, ("beam:" + config_.record.name).c_str());
  const std::string log = store_.file(config_.record.name, kSupervisorLog);
  if (!log::log_to_file(log)) {
    return Error::from_errno(log + ": cannot create");
  }
  redirect_stderr(log);
  BEAM_TRY(publish());
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

// Before anything runs, so that a port that can't be had is an error of the launch.
Result<> Supervisor::publish() {
  BEAM_TRY_ASSIGN(auto ports, parse_published_ports(config_.record.published));
  if (!ports.empty() && network_.space) {
    BEAM_TRY_ASSIGN(publisher_, Publisher::start(network_.space, std::move(ports)));
  }
  return success();
}

Result<> Supervisor::add_record() {
  SandboxRecord& record = config_.record;
  const bool generated = record.name.empty();
  const std::string address = record.address;
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
    record.address = address;
    // What is called as the sandbox itself is its own group, unless it was asked for.
    const bool joins = config_.joins_group || record.group != record.name;
    network_ = {};  // that of another name
    auto network = make_network(store_.home(), joins, names_, record);
    // A sandbox of that name that is known here is told of as such.
    const bool known = !network.ok() && network.error().code() == EEXIST && store_.load(record.name).ok();
    if (!network.ok() && !known && !(generated && network.error().code() == EEXIST)) {
      return std::move(network).error();
    }
    auto added = network.ok() ? Result<>(success()) : Result<>(network.error());
    if (network.ok()) {
      network_ = std::move(*network);
      added = store_.add(record);
    }
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
  BEAM_TRY_ASSIGN(options, engine_options());
  options.trace_classes = config_.trace_classes;
  if (config_.trace) {
    if (!config_.trace_file) {
      config_.trace_file = UniqueFd(::fcntl(sources.streams[2].get(), F_DUPFD_CLOEXEC, 3));
    }
    options.trace_fd = config_.trace_file.get();
  }
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
  session->hold_output();
  session->follow(command_root_, console, false);
  if (own_init) {
    command_executed();
  } else {
    read_report();
  }
  return success();
}

// What was Beam's own where the sandbox was before stays out of its view.
std::optional<rootfs::MountOptions> Supervisor::mounts() const {
  auto mounts = config_.mounts;
  if (mounts) {
    const std::string& socket = config_.record.socket;
    for (const std::string& own : {store_.home(), socket.substr(0, socket.rfind('/'))}) {
      if (std::find(mounts->own.begin(), mounts->own.end(), own) == mounts->own.end()) {
        mounts->own.push_back(own);
      }
    }
  }
  return mounts;
}

Result<std::optional<rootfs::ViewOptions>> Supervisor::view_options() const {
  const auto asked = mounts();
  if (!asked) {
    return std::optional<rootfs::ViewOptions>();
  }
  rootfs::ViewOptions view;
  view.layer = store_.file(config_.record.name, kLayer);
  BEAM_TRY_ASSIGN(view.mounts, rootfs::plan_mounts(*asked));
  return std::optional(std::move(view));
}

Result<interpose::EngineOptions> Supervisor::engine_options() const {
  interpose::EngineOptions options;
  options.host_name = config_.record.host_name;
  options.network = network_.space;
  options.outside = config_.record.network != kNetworkNone;
  if (network_.space) {
    options.names = names_in(network_, config_.record);
  }
  BEAM_TRY_ASSIGN(options.view, view_options());
  return options;
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
    session->release_output();
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

}  // namespace beam::runtime
