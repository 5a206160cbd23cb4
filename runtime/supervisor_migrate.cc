// Supervisor: moving its sandbox to another workstation, and what stays behind for those who wait for it here.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <filesystem>

#include "base/log.h"
#include "migrate/freeze.h"
#include "runtime/cluster.h"
#include "runtime/decision.h"
#include "runtime/local_socket.h"
#include "runtime/move_out.h"
#include "runtime/paths.h"
#include "runtime/relay.h"
#include "runtime/session.h"
#include "runtime/supervisor.h"
#include "runtime/supervisor_exit.h"

namespace beam::runtime {
namespace {

constexpr int kFailed = 1;
constexpr int kNoSuch = 4;
constexpr unsigned kMostRounds = 4;
constexpr std::uint64_t kLittle = 16U << 20U;  // bytes

bool is_null_device(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3);
}

// The sandbox's own descriptor of a pipe or socket that `stand_in` only names.
UniqueFd held_inside(const struct stat& wanted, bool input, const std::vector<HostPid>& processes) {
  for (const HostPid process : processes) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.value(), 0)));
    std::error_code fault;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process.value()) + "/fd", fault)) {
      struct stat info {};
      if (::stat(entry.path().c_str(), &info) != 0 || info.st_dev != wanted.st_dev || info.st_ino != wanted.st_ino) {
        continue;
      }
      UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), std::stoi(entry.path().filename()), 0)));
      const int flags = copy ? ::fcntl(copy.get(), F_GETFL) : -1;
      if (flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != (input ? O_WRONLY : O_RDONLY)) {
        return copy;
      }
    }
  }
  return {};
}

// The streams that the sandbox still has, to go on with here for a sandbox that runs elsewhere.
std::array<UniqueFd, 3> open_streams(const std::array<UniqueFd, 3>& stand_ins, const std::vector<HostPid>& processes) {
  std::array<UniqueFd, 3> streams;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    struct stat info {};
    if (!stand_ins[i] || ::fstat(stand_ins[i].get(), &info) != 0 || is_null_device(info)) {
      continue;
    }
    streams[i] = S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)
                     ? held_inside(info, i == 0, processes)
                     : UniqueFd(::fcntl(stand_ins[i].get(), F_DUPFD_CLOEXEC, 3));
  }
  return streams;
}

std::uint8_t mask_of(const std::array<UniqueFd, 3>& streams) {
  unsigned mask = 0;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    mask |= (streams[i] ? 1U : 0U) << i;
  }
  return static_cast<std::uint8_t>(mask);
}

}  // namespace

// Of the work that is done aside.
struct Supervisor::Migration {
  Consoles consoles;
  migrate::FreezeOptions options;
  std::vector<migrate::Obstacle> obstacles;
  Cluster cluster;
  Workstation target;
  Offer offer;
  std::optional<MoveOut> move;
  std::array<UniqueFd, 3> streams;
  Result<> result = success();
  bool pre_copy = false;
  bool gone = false;  // it runs there, or nowhere

  [[nodiscard]] std::string ahead(unsigned round) const {
    return options.image_directory + ".ahead-" + std::to_string(round);
  }
};

bool Supervisor::followed() const {
  return std::any_of(sessions_.begin(), sessions_.end(), [this](const auto& session) {
    return session->waits_for_end() || (session->followed() == command_root_ && command_root_ != VirtualPid());
  });
}

Result<> Supervisor::migrate(Session& session, const MigrateRequest& request) {
  if (busy_ || report_) {
    defer(session, [this, request](Session& later) { return migrate(later, request); });
    return success();
  }
  const std::string& name = config_.record.name;
  if (ending()) {
    return Error(0, name + ": is ending");
  }
  const auto work = std::make_shared<Migration>();
  auto cluster = Cluster::open(store_.home());
  const Workstation* target = cluster.ok() ? cluster->find(request.workstation) : nullptr;
  if (target == nullptr) {
    session.send_last(Failed{kNoSuch, 0,
                             cluster.ok() || cluster.error().code() == ENOENT
                                 ? request.workstation + ": no such workstation; see: beam ws"
                                 : cluster.error().message()});
    return success();
  }
  if (target->name == cluster->self) {
    session.send_last(Failed{kFailed, 0, name + ": is on " + target->name + " already"});
    return success();
  }
  work->target = *target;
  work->cluster = std::move(*cluster);
  work->pre_copy = request.pre_copy;
  const SandboxRecord& record = config_.record;
  work->offer.move = generate_id();
  work->offer.id = record.id;
  work->offer.name = name;
  work->offer.followed = followed();
  work->offer.detached = record.detached;
  work->offer.remove_at_end = record.remove_at_end;
  work->consoles = consoles();
  work->options = freeze_options(work->consoles);
  BEAM_TRY(make_private_directory(store_.home() + "/outgoing"));
  work->options.image_directory = outgoing_image(store_.home(), name, work->offer.move);
  work->options.obstacles = &work->obstacles;
  // Whoever adopts the image of a killed supervisor (decision.h) finds it in the page cache; a workstation that crashes
  // takes a running sandbox with it anyway.
  work->options.durable = false;
  if (auto init = helper_path("beam-init"); init.ok()) {
    work->options.carried.push_back(std::move(*init));
  }
  work->options.describe = [this, all = &work->consoles] {
    return on_main_thread<Result<std::string>>([this, all] { return describe(*all); });
  };
  work->options.confirm = [this, work](const std::vector<HostPid>& processes) { return hand_over(*work, processes); };
  work->options.on_durable = [this, target = work->target.name] {
    asio::post(io_, [this, target] { moved_to_ = target; });
  };
  mover_ = session.shared_from_this();
  work_aside([this, work] { move_aside(*work); }, [this, work] { migrated(*work); });
  return success();
}

// On the event thread, while nothing of the sandbox runs.
Result<> Supervisor::hand_over(Migration& work, const std::vector<HostPid>& processes) {
  std::vector<std::string> logs;
  if (work.offer.detached) {
    logs = {store_.file(work.offer.name, kStdoutLog), store_.file(work.offer.name, kStderrLog)};
  } else {
    work.streams = open_streams(stream_names_, processes);
    work.move->set_streams(mask_of(work.streams));
  }
  // For the other workstation to have, which may be on this machine. The connections of published ports are none of the
  // sandbox's any more, or it could not be frozen.
  if (publisher_) {
    publisher_->suspend();
  }
  auto sent = work.move->transfer(work.options.image_directory, logs);
  if (sent.ok()) {
    sent = work.move->decide();
  }
  if (!sent.ok()) {
    work.move->drop();
    if (publisher_) {
      if (const auto again = publisher_->resume(); !again.ok()) {
        BEAM_LOG_ERROR(kRuntime, "{}", again.error().message());
      }
    }
  }
  return sent;
}

// Images of the running sandbox, each as it differs from the one before, until there is little left to tell.
Result<> Supervisor::send_ahead(Migration& work) {
  migrate::FreezeOptions options = work.options;
  options.keep_running = true;
  options.confirm = nullptr;
  options.on_durable = nullptr;
  std::uint64_t last = UINT64_MAX;
  for (unsigned round = 0; round < kMostRounds; ++round) {
    options.image_directory = work.ahead(round);
    const auto made = migrate::freeze(*engine_, options);
    if (!made.ok()) {
      return made.error();
    }
    BEAM_TRY_ASSIGN(const std::uint64_t sent, work.move->send_ahead(options.image_directory));
    BEAM_LOG_INFO(kRuntime, "sent {} of {} bytes ahead", sent, made->bytes);
    if (sent < kLittle || sent > last / 2) {
      break;
    }
    last = sent;
  }
  return success();
}

void Supervisor::move_aside(Migration& work) {
  auto begun = MoveOut::begin(work.cluster, work.target, store_.home(), work.offer);
  if (!begun.ok()) {
    work.result = begun.error();
    return;
  }
  work.move.emplace(std::move(*begun));
  if (work.pre_copy) {
    work.result = send_ahead(work);
  }
  const auto frozen =
      work.result.ok() ? migrate::freeze(*engine_, work.options) : Result<migrate::FreezeReport>(work.result.error());
  std::error_code ignored;
  for (unsigned round = 0; round < kMostRounds; ++round) {
    std::filesystem::remove_all(work.ahead(round), ignored);
  }
  std::filesystem::remove_all(work.options.image_directory, ignored);
  if (!frozen.ok()) {
    work.result = frozen.error();
    return;
  }
  work.gone = true;
  work.result = work.move->finish();
}

void Supervisor::migrated(Migration& work) {
  const std::string& name = config_.record.name;
  const auto session = std::move(mover_);
  if (!work.gone) {
    BEAM_LOG_INFO(kRuntime, "not moved: {}", work.result.error().message());
    if (!session) {
      return;
    }
    if (work.result.error().code() == migrate::kObstacle) {
      session->send_last(to_message(work.obstacles));
    } else {
      session->send_last(Failed{kFailed, 0, name + ": stays here: " + work.result.error().message()});
    }
    return;
  }
  moved_to_ = work.target.name;
  // Told once nothing of it is here any more.
  mover_ = session;
  if (!work.result.ok()) {
    mover_fault_ = name + ": was handed over to " + work.target.name +
                   ", but the connection broke before it said that it runs (" + work.result.error().message() +
                   "); look there: beam ps -a";
    BEAM_LOG_WARN(kRuntime, "{}", mover_fault_);
  }
  if (!work.offer.followed) {
    return;
  }
  relay_ = std::make_shared<Relay>(
      io_, work.move->take_link(),
      Relay::Handlers{[this](Frame frame) { relayed(std::move(frame)); },
                      [this](const Error& error) {
                        relay_ended(Failed{kExitBeamFailed, 0,
                                           config_.record.name + ": runs on " + *moved_to_ +
                                               ", but the connection is lost: " + error.message()});
                      }});
  for (std::size_t i = 0; i < work.streams.size(); ++i) {
    if (work.streams[i]) {
      i == 0 ? relay_->add_source(i, std::move(work.streams[i])) : relay_->add_sink(i, std::move(work.streams[i]));
    }
  }
}

// Once every process here is gone.
void Supervisor::leave() {
  if (left_) {
    return;
  }
  left_ = true;
  const std::string& name = config_.record.name;
  BEAM_LOG_INFO(kRuntime, "moved to {}", *moved_to_);
  engine_.reset();
  publisher_.reset();
  network_ = {};
  jobs_.clear();
  orphan_consoles_.clear();
  stdin_keeper_.reset();
  stream_names_ = {};
  if (listener_) {
    listener_->close();
    unlink_socket(config_.record.socket);
  }
  if (const auto removed = store_.remove(name); !removed.ok()) {
    BEAM_LOG_ERROR(kRuntime, "record of {}: {}", name, removed.error().message());
  }
  recorded_ = false;
  if (mover_) {
    mover_fault_.empty() ? mover_->send_last(Done{}) : mover_->send_last(Failed{kFailed, 0, mover_fault_});
  }
  for (const auto& session : std::list(sessions_)) {
    if (session == mover_) {
      continue;
    }
    if (!relay_ || (!session->waits_for_end() && session->followed() != command_root_)) {
      session->send_last(Failed{kExitFrozen, 0, name + ": moved to " + *moved_to_ + ", without this one's streams"});
    }
  }
  mover_.reset();
  if (relay_) {
    relay_->start();
  } else {
    ended_ = Ended{kExitFrozen, ""};
    stop_when_told();
  }
}

bool Supervisor::passes_on(const Session& session, const Frame& frame) {
  if (!relay_ || !left_ || session.followed() != command_root_) {
    return false;
  }
  switch (frame.type) {
    case MessageType::kInput:
    case MessageType::kInputEnd:
    case MessageType::kResize:
    case MessageType::kForward:
    case MessageType::kResume:
      relay_->send_frame(frame.type, frame.payload);
      return true;
    default:
      return false;
  }
}

void Supervisor::relayed(Frame frame) {
  switch (frame.type) {
    case MessageType::kOutput:
    case MessageType::kWantsTerminal:
      for (const auto& session : std::list(sessions_)) {
        if (session->followed() == command_root_) {
          session->send_frame(frame.type, frame.payload);
        }
      }
      return;
    case MessageType::kStopped:
      if (const auto message = frame.as<Stopped>(); message.ok()) {
        for (const auto& session : std::list(sessions_)) {
          if (session->followed() == command_root_) {
            session->tell_stopped(message->signal);
          }
        }
      }
      return;
    case MessageType::kEnded:
      if (const auto message = frame.as<Ended>(); message.ok()) {
        relay_ended(*message);
      }
      return;
    case MessageType::kFailed:
      if (const auto message = frame.as<Failed>(); message.ok()) {
        relay_ended(*message);
      }
      return;
    default:
      BEAM_LOG_WARN(kRuntime, "{}: unexpected message {}", *moved_to_, static_cast<int>(frame.type));
  }
}

template <typename Message>
void Supervisor::relay_ended(const Message& message) {
  if (ended_) {
    return;
  }
  ended_ = Ended{message.exit_status, ""};
  for (const auto& session : std::list(sessions_)) {
    session->send_last(message);
  }
  command_session_.reset();
  relay_->close();
  stop_when_told();
}

}  // namespace beam::runtime
