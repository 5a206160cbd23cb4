// Supervisor: freezing its sandbox, looking whether that could be done, and thawing one.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/post.hpp>

#include "base/log.h"
#include "migrate/freeze.h"
#include "migrate/thaw.h"
#include "runtime/description.h"
#include "runtime/network.h"
#include "runtime/paths.h"
#include "runtime/session.h"
#include "runtime/supervisor.h"
#include "runtime/supervisor_process.h"

namespace beam::runtime {
namespace {

constexpr int kFailedStatus = 1;

// Stands for a stream without keeping it open: whoever is at the other end of a pipe or socket has to see when the
// sandbox closes its own. An O_PATH descriptor names the inode and is no end (open(2)).
UniqueFd stand_in(int fd) {
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    return UniqueFd();
  }
  if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) {
    return UniqueFd(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_PATH | O_CLOEXEC));
  }
  return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

std::array<int, 3> numbers(const std::array<UniqueFd, 3>& fds) {
  return {fds[0].get(), fds[1].get(), fds[2].get()};
}

}  // namespace

Obstacles to_message(const std::vector<migrate::Obstacle>& list) {
  Obstacles message;
  for (const auto& obstacle : list) {
    message.entries.push_back({obstacle.vpid, obstacle.object, obstacle.reason});
  }
  return message;
}

std::array<UniqueFd, 3> stand_ins(const std::array<UniqueFd, 3>& streams, unsigned terminal_mask) {
  std::array<UniqueFd, 3> all;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if ((terminal_mask & (1U << i)) == 0) {
      all[i] = stand_in(streams[i].get());
    }
  }
  return all;
}

bool Supervisor::ending() const {
  return command_status_ || launch_failure_ || frozen_image_ || moved_to_ || !engine_;
}

void Supervisor::work_aside(std::function<void()> work, std::function<void()> done) {
  busy_ = true;
  worker_ = std::thread([this, work = std::move(work), done = std::move(done)] {
    work();
    asio::post(io_, [this, done] {
      worker_.join();
      busy_ = false;
      done();
      run_deferred();
      finish();
    });
  });
}

void Supervisor::defer(Session& session, std::function<Result<>(Session&)> request) {
  deferred_.push_back([weak = session.weak_from_this(), request = std::move(request)] {
    const auto self = weak.lock();
    if (!self) {
      return;
    }
    if (const auto result = request(*self); !result.ok()) {
      self->send_last(Failed{125, result.error().code(), result.error().message()});
    }
  });
}

void Supervisor::run_deferred() {
  for (auto& request : std::exchange(deferred_, {})) {
    request();
  }
}

Supervisor::Consoles Supervisor::consoles() const {
  Consoles all;
  if (const auto job = jobs_.find(command_root_); job != jobs_.end() && job->second.console) {
    all.push_back(job->second.console);
  }
  for (const auto& [root, job] : jobs_) {
    if (root != command_root_ && job.console) {
      all.push_back(job.console);
    }
  }
  all.insert(all.end(), orphan_consoles_.begin(), orphan_consoles_.end());
  return all;
}

migrate::FreezeOptions Supervisor::freeze_options(const Consoles& consoles) const {
  migrate::FreezeOptions options;
  options.stdio = numbers(stream_names_);
  for (const auto& [root, job] : jobs_) {
    if (root != command_root_) {
      options.later_stdio.push_back(numbers(job.streams));
    }
  }
  for (const auto& console : consoles) {
    options.consoles.push_back(console->slave());
  }
  return options;
}

Result<std::string> Supervisor::describe(const Consoles& consoles) {
  SandboxDescription description;
  const SandboxRecord& record = config_.record;
  description.id = record.id;
  description.name = record.name;
  description.group = record.group;
  description.host_name = record.host_name;
  description.working_directory = record.working_directory;
  description.network = record.network;
  description.address = record.address;
  description.published = record.published;
  description.mounts = mounts();
  description.command = record.command;
  description.environment = config_.environment;
  description.umask = config_.umask;
  description.keep_stdin = config_.keep_stdin;
  description.root = command_root_.value();
  if (const auto job = jobs_.find(command_root_); job != jobs_.end()) {
    description.target = job->second.target.value();
    description.stopped = job->second.stopped;
    description.terminal = job->second.console != nullptr;
    description.terminal_mask = description.terminal ? config_.streams.terminal_mask : std::uint8_t{0};
  }
  for (const auto& console : consoles) {
    BEAM_TRY_ASSIGN(description.consoles.emplace_back(), console->capture());
  }
  return migrate::encode(description);
}

Result<> Supervisor::freeze(Session& session, const FreezeRequest& request) {
  // A sandbox that is just starting has PID 1's report to the supervisor open.
  if (busy_ || report_) {
    defer(session, [this, request](Session& later) { return freeze(later, request); });
    return success();
  }
  if (ending()) {
    return Error(0, config_.record.name + ": is ending");
  }
  struct Work {
    Consoles consoles;  // kept, whatever ends meanwhile
    migrate::FreezeOptions options;
    std::vector<migrate::Obstacle> obstacles;
    std::optional<Result<migrate::FreezeReport>> result;
  };
  const auto work = std::make_shared<Work>();
  work->consoles = consoles();
  work->options = freeze_options(work->consoles);
  work->options.image_directory = request.image;
  work->options.keep_running = request.keep_running;
  work->options.compress = request.compress;
  work->options.self_contained = request.self_contained;
  // Beam's own PID 1 is another one with every version of Beam.
  if (auto init = helper_path("beam-init"); init.ok()) {
    work->options.carried.push_back(std::move(*init));
  }
  work->options.obstacles = &work->obstacles;
  work->options.describe = [this, all = &work->consoles] {
    return on_main_thread<Result<std::string>>([this, all] { return describe(*all); });
  };
  if (!request.keep_running) {
    // Arrives before the ends of the processes do.
    work->options.on_durable = [this, image = request.image] {
      asio::post(io_, [this, image] { frozen_image_ = image; });
    };
  }
  work_aside([this, work] { work->result = migrate::freeze(*engine_, work->options); },
             [this, work, weak = session.weak_from_this(), keep_running = request.keep_running] {
               frozen(*work->result, to_message(work->obstacles), keep_running, weak.lock());
             });
  return success();
}

void Supervisor::frozen(const Result<migrate::FreezeReport>& result, const Obstacles& obstacles, bool keep_running,
                        const std::shared_ptr<Session>& session) {
  if (!result.ok()) {
    BEAM_LOG_INFO(kRuntime, "not frozen: {}", result.error().message());
    if (!session) {
      return;
    }
    if (result.error().code() == migrate::kObstacle) {
      session->send_last(obstacles);
    } else if (ending()) {
      session->send_last(Failed{kFailedStatus, 0, config_.record.name + ": has ended"});
    } else {
      session->send_last(
          Failed{kFailedStatus, result.error().code(), config_.record.name + ": " + result.error().message()});
    }
    return;
  }
  const Frozen reply{result->bytes, static_cast<std::uint32_t>(result->processes),
                     static_cast<std::uint32_t>(result->threads)};
  if (session && keep_running) {
    session->send_last(reply);
  } else if (session) {
    // Once the record says so as well.
    freezer_session_ = session;
    freezer_reply_ = reply;
  }
}

Result<> Supervisor::check(Session& session) {
  if (busy_ || report_) {
    defer(session, [this](Session& later) { return check(later); });
    return success();
  }
  if (ending()) {
    return Error(0, config_.record.name + ": is ending");
  }
  struct Work {
    Consoles consoles;
    migrate::FreezeOptions options;
    std::optional<Result<std::vector<migrate::Obstacle>>> result;
  };
  const auto work = std::make_shared<Work>();
  work->consoles = consoles();
  work->options = freeze_options(work->consoles);
  work_aside([this, work] { work->result = migrate::check(*engine_, work->options); },
             [this, work, weak = session.weak_from_this()] {
               const auto asker = weak.lock();
               if (!asker) {
                 return;
               }
               if (work->result->ok()) {
                 asker->send_last(to_message(**work->result));
               } else {
                 asker->send_last(Failed{kFailedStatus, work->result->error().code(),
                                         config_.record.name + ": " + work->result->error().message()});
               }
             });
  return success();
}

Result<> Supervisor::thaw(const std::shared_ptr<Session>& session) {
  const ThawConfig& thaw = *config_.thaw;
  StreamSources sources;
  BEAM_TRY_ASSIGN(sources, take_streams());
  Consoles consoles;
  migrate::ThawOptions options;
  for (const ConsoleState& state : thaw.consoles) {
    BEAM_TRY_ASSIGN(auto console, Console::open(io_, StreamSetup{}));
    BEAM_TRY(console->restore(state));
    options.consoles.push_back(console->slave());
    consoles.push_back(std::move(console));
  }
  std::shared_ptr<Console> own;
  if (config_.streams.terminal_mask != 0) {
    own = consoles.front();
    orphan_consoles_.assign(consoles.begin() + 1, consoles.end());
    if (config_.record.detached) {
      own->set_log(sources.streams[1].release());
    }
  } else {
    orphan_consoles_ = consoles;
  }
  BEAM_TRY_ASSIGN(const auto image, migrate::Image::open(thaw.image));
  options.stdio = numbers(sources.streams);
  options.force = thaw.force;
  options.eager = thaw.eager;
  options.verified = thaw.verified;
  BEAM_TRY_ASSIGN(options.engine, engine_options());
  if (thaw.held) {
    // The event thread waits with all that it holds; this one waits for it.
    options.confirm = [&]() -> Result<> {
      session->send(Held{config_.record.name});
      BEAM_TRY_ASSIGN(const Frame frame, session->receive());
      BEAM_TRY(frame.as<Go>());
      return success();
    };
  }
  BEAM_TRY_ASSIGN(engine_, migrate::thaw(image, std::move(options), *this));
  command_root_ = thaw.root;
  jobs_[command_root_] = Job{thaw.root, thaw.target, own, thaw.stopped, {}};
  session->follow(command_root_, own, false);
  if (own && thaw.client_terminal) {
    // A full-screen program paints itself anew, at the size of the terminal that it is on now.
    own->resize(config_.streams.window, true);
  }
  stream_names_ = stand_ins(sources.streams, config_.streams.terminal_mask);
  if (!replaced_record_.empty()) {
    store_.drop_replaced(replaced_record_);
    replaced_record_.clear();
  }
  command_executed();
  return success();
}

}  // namespace beam::runtime
