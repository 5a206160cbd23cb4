#include "runtime/move_in.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/fault.h"
#include "base/log.h"
#include "runtime/channel.h"
#include "runtime/decision.h"
#include "runtime/description.h"
#include "runtime/file_io.h"
#include "runtime/paths.h"
#include "runtime/relay.h"
#include "runtime/sandbox_name.h"
#include "runtime/supervisor_exit.h"
#include "runtime/thaw_config.h"

namespace beam::runtime {
namespace {

constexpr int kFailed = 1;
// How long the workstation that a sandbox left is asked what became of the move, before its image is put by.
constexpr std::chrono::minutes kDoubt{10};
constexpr int kCommitPatience = 60'000;

class MoveIn {
 public:
  MoveIn(const Cluster& cluster, std::string home, RecordStore store, Link link, Offer offer)
      : cluster_(cluster),
        home_(std::move(home)),
        store_(std::move(store)),
        link_(std::move(link)),
        offer_(std::move(offer)),
        directory_(home_ + "/incoming/" + offer_.move) {}

  // Up to the moment at which the sandbox is held.
  Result<> prepare();
  // From there to its end here.
  void conclude();
  void fail(const Error& error);

 private:
  [[nodiscard]] std::string image() const { return directory_ + "/image"; }
  Result<> acceptable() const;
  // Up to a message that is about no file.
  Result<Frame> receive_files();
  [[nodiscard]] Result<std::string> path_of(const std::string& name) const;
  [[nodiscard]] Result<UniqueFd> open_file(const FileStart& start) const;
  [[nodiscard]] Result<> copy(int to, const FileCopy& part) const;
  [[nodiscard]] Result<UniqueFd> take_base(const FileStart& start, const std::string& path) const;
  static Result<> patch(int file, const FilePatch& part);
  Result<> make_streams();
  Result<> launch();
  Result<> take_logs() const;
  Decision::Verdict await_verdict();
  Decision::Verdict ask_for_verdict() const;
  Result<> go();
  void end_held();
  void keep_image(const std::string& reason);
  void follow();
  void follow_into_logs();

  const Cluster& cluster_;
  std::string home_;
  RecordStore store_;
  Link link_;
  Offer offer_;
  std::string directory_;
  SandboxRecord record_;
  std::array<UniqueFd, 3> inside_;   // what the sandbox gets
  std::array<UniqueFd, 3> outside_;  // the other ends
  std::optional<Channel> channel_;   // to its supervisor
};

Result<> MoveIn::acceptable() const {
  if (!valid_move(offer_.move) || !valid_name(offer_.name)) {
    return Error(EPROTO, "the offer of a sandbox is malformed");
  }
  if (const auto taken = store_.load(offer_.name); taken.ok()) {
    if (taken->id != offer_.id || store_.running(*taken)) {
      return Error(0, offer_.name + ": the name is in use on " + cluster_.self)
          .remedy("remove that sandbox: beam rm " + offer_.name);
    }
  }
  return success();
}

// A name that leads nowhere else.
Result<std::string> MoveIn::path_of(const std::string& name) const {
  const std::filesystem::path path(name);
  bool sound = !name.empty() && path.is_relative() && name.find('\0') == std::string::npos;
  for (const auto& part : path) {
    sound = sound && !part.empty() && part != ".." && part != ".";
  }
  return sound ? Result<std::string>((std::filesystem::path(directory_) / path).string())
               : Result<std::string>(Error(EPROTO, "'" + name + "': is no name of a file of an image"));
}

Result<UniqueFd> MoveIn::open_file(const FileStart& start) const {
  BEAM_TRY_ASSIGN(const std::string path, path_of(start.name));
  std::error_code fault;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), fault);
  if (!start.base.empty()) {
    return take_base(start, path);
  }
  UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, start.executable ? 0700 : 0600));
  if (!fd) {
    return Error::from_errno("create " + path);
  }
  return fd;
}

// What was sent ahead becomes part of the image itself: nothing of it is copied.
Result<UniqueFd> MoveIn::take_base(const FileStart& start, const std::string& path) const {
  BEAM_TRY_ASSIGN(const std::string base, path_of(start.base));
  UniqueFd fd(::open(base.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || ::renameat2(AT_FDCWD, base.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    return Error::from_errno("go on with " + base);
  }
  if (start.size > INT64_MAX || ::ftruncate(fd.get(), static_cast<off_t>(start.size)) != 0 ||
      ::fchmod(fd.get(), start.executable ? 0700 : 0600) != 0) {
    return Error::from_errno("resize " + path);
  }
  return fd;
}

Result<> MoveIn::patch(int file, const FilePatch& part) {
  struct stat info {};
  if (file < 0 || ::fstat(file, &info) != 0 || part.offset > static_cast<std::uint64_t>(info.st_size) ||
      part.bytes.size() > static_cast<std::uint64_t>(info.st_size) - part.offset) {
    return Error(EPROTO, "a change of no file, or beyond its end");
  }
  for (std::size_t done = 0; done < part.bytes.size();) {
    const ssize_t put =
        ::pwrite(file, part.bytes.data() + done, part.bytes.size() - done, static_cast<off_t>(part.offset + done));
    if (put <= 0) {
      return Error::from_errno("write a file of an image");
    }
    done += static_cast<std::size_t>(put);
  }
  return success();
}

Result<> MoveIn::copy(int to, const FileCopy& part) const {
  BEAM_TRY_ASSIGN(const std::string path, path_of(part.name));
  const UniqueFd from(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!from) {
    return Error::from_errno("open " + path);
  }
  auto offset = static_cast<off_t>(part.offset);
  for (std::uint64_t left = part.size; left > 0;) {
    const ssize_t copied = ::copy_file_range(from.get(), &offset, to, nullptr, left, 0);
    if (copied <= 0) {
      return copied == 0 ? Error(EPROTO, part.name + ": has no such bytes") : Error::from_errno("copy " + path);
    }
    left -= static_cast<std::uint64_t>(copied);
  }
  return success();
}

Result<Frame> MoveIn::receive_files() {
  UniqueFd file;
  for (;;) {
    BEAM_TRY_ASSIGN(Frame frame, link_.receive());
    switch (frame.type) {
      case MessageType::kFileStart: {
        BEAM_TRY_ASSIGN(const auto start, frame.as<FileStart>());
        BEAM_TRY_ASSIGN(file, open_file(start));
        break;
      }
      case MessageType::kFileBytes: {
        BEAM_TRY_ASSIGN(const auto piece, frame.as<FileBytes>());
        if (!file) {
          return Error(EPROTO, "bytes of no file");
        }
        BEAM_TRY(write_all(file.get(), piece.bytes));
        break;
      }
      case MessageType::kFilePatch: {
        BEAM_TRY_ASSIGN(const auto part, frame.as<FilePatch>());
        BEAM_TRY(patch(file.get(), part));
        break;
      }
      case MessageType::kFileCopy: {
        BEAM_TRY_ASSIGN(const auto part, frame.as<FileCopy>());
        if (!file) {
          return Error(EPROTO, "bytes of no file");
        }
        BEAM_TRY(copy(file.get(), part));
        break;
      }
      default:
        return frame;
    }
  }
}

Result<> MoveIn::make_streams() {
  for (std::size_t i = 0; i < 3; ++i) {
    if ((offer_.streams & (1U << i)) != 0) {
      std::array<int, 2> ends{};
      if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return Error::from_errno("make a pipe");
      }
      inside_[i] = UniqueFd(ends[i == 0 ? 0 : 1]);
      outside_[i] = UniqueFd(ends[i == 0 ? 1 : 0]);
    } else {
      inside_[i] = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    }
  }
  return success();
}

// The supervisor takes the streams of the process that starts it.
Result<> MoveIn::launch() {
  BEAM_TRY_ASSIGN(const auto image, migrate::Image::open(this->image()));
  BEAM_TRY_ASSIGN(const auto description, describe(image));
  if (description.id != offer_.id) {
    return Error(EPROTO, "the image is of another sandbox than was offered");
  }
  RunConfig config = thaw_config(description, this->image());
  config.record.detached = offer_.detached;
  config.record.remove_at_end = offer_.remove_at_end;
  config.streams.foreground = true;
  config.thaw->held = true;
  config.thaw->verified = true;
  record_ = config.record;
  std::array<UniqueFd, 3> own;
  for (int fd = 0; fd < 3; ++fd) {
    own[static_cast<std::size_t>(fd)] = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    ::dup2(inside_[static_cast<std::size_t>(fd)].get(), fd);
  }
  sigset_t mask;
  ::sigemptyset(&mask);
  auto socket = Supervisor::launch(std::move(config), store_, mask);
  for (int fd = 0; fd < 3; ++fd) {
    ::dup2(own[static_cast<std::size_t>(fd)].get(), fd);
  }
  inside_ = {};
  if (!socket.ok()) {
    return socket.error();
  }
  channel_.emplace(std::move(*socket));
  BEAM_TRY_ASSIGN(const Frame frame, channel_->receive());
  if (frame.type == MessageType::kFailed) {
    BEAM_TRY_ASSIGN(const auto failure, frame.as<Failed>());
    return Error(0, failure.message);
  }
  BEAM_TRY(frame.as<Held>());
  return success();
}

Result<> MoveIn::take_logs() const {
  if (!offer_.detached) {
    return success();
  }
  for (const char* log : {kStdoutLog, kStderrLog}) {
    const UniqueFd from(::open((directory_ + "/" + log).c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd to(::open(store_.file(offer_.name, log).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    std::array<char, 65536> buffer{};
    ssize_t got = 0;
    while (from && to && (got = ::read(from.get(), buffer.data(), buffer.size())) > 0) {
      BEAM_TRY(write_all(to.get(), std::string_view(buffer.data(), static_cast<std::size_t>(got))));
    }
  }
  return success();
}

Result<> MoveIn::prepare() {
  BEAM_TRY(acceptable());
  BEAM_TRY(link_.send(Done{}));
  BEAM_TRY(link_.flush_all());
  // The other side first brings the sandbox to rest and makes its image.
  link_.set_patience(-1);
  BEAM_TRY(make_private_directory(home_ + "/incoming"));
  BEAM_TRY(make_private_directory(directory_));
  BEAM_TRY_ASSIGN(const Frame frame, receive_files());
  link_.set_patience(Link::kPatience);
  if (frame.type != MessageType::kOffer) {
    return Error(ECANCELED, offer_.name + ": stays on " + link_.peer());
  }
  BEAM_TRY_ASSIGN(auto offer, frame.as<Offer>());
  if (offer.move != offer_.move || offer.id != offer_.id || offer.name != offer_.name) {
    return Error(EPROTO, "another sandbox than was offered");
  }
  offer_ = std::move(offer);
  BEAM_TRY(make_private_directory(image()));
  BEAM_TRY_ASSIGN(const Frame last, receive_files());
  if (last.type != MessageType::kImageEnd) {
    return last.type == MessageType::kDrop
               ? Error(ECANCELED, offer_.name + ": stays on " + link_.peer())
               : Error(EPROTO, "unexpected message " + std::to_string(static_cast<int>(last.type)));
  }
  if (fault_point("move.received")) {
    return Error(EIO, "move: fault point");
  }
  BEAM_TRY(make_streams());
  BEAM_TRY(launch());
  BEAM_TRY(take_logs());
  if (fault_point("move.held")) {
    return Error(EIO, "move: fault point");
  }
  return success();
}

// Returns once its supervisor, which this process has started, is gone, and the name free again.
void MoveIn::end_held() {
  if (!channel_) {
    return;
  }
  ::shutdown(channel_->fd(), SHUT_WR);
  while (channel_->receive().ok()) {
    // What it says of its end.
  }
  channel_.reset();
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  if (const auto left = store_.load(offer_.name); left.ok() && left->id == offer_.id && !store_.running(*left)) {
    (void)store_.remove(offer_.name).ok();  // of one that was killed
  }
}

void MoveIn::fail(const Error& error) {
  end_held();
  std::error_code ignored;
  if (valid_move(offer_.move)) {
    std::filesystem::remove_all(directory_, ignored);
  }
  if (error.code() != ECANCELED &&
      link_.send(Failed{kFailed, 0, link_.peer() + " to " + cluster_.self + ": " + error.message()}).ok()) {
    (void)link_.flush_all().ok();
  }
  BEAM_LOG_INFO(kRuntime, "not taken in: {}", error.message());
}

// Only the workstation that the sandbox left knows what became of the move.
Decision::Verdict MoveIn::ask_for_verdict() const {
  const Workstation* source = cluster_.find(link_.peer());
  if (source == nullptr) {
    return Decision::kOpen;
  }
  auto link = Link::connect(cluster_, *source, 5'000);
  if (!link.ok()) {
    return Decision::kOpen;
  }
  const auto told = link->ask<Decision>(DecisionRequest{offer_.move, offer_.name});
  return told.ok() ? static_cast<Decision::Verdict>(told->verdict) : Decision::kOpen;
}

Decision::Verdict MoveIn::await_verdict() {
  link_.set_patience(kCommitPatience);
  const auto frame = link_.receive();
  link_.set_patience(Link::kPatience);
  if (frame.ok() && frame->type == MessageType::kCommit) {
    return Decision::kGo;
  }
  if (frame.ok() && frame->type == MessageType::kDrop) {
    return Decision::kStay;
  }
  BEAM_LOG_WARN(kRuntime, "{}: no word from {} whether it may run; asking", offer_.name, link_.peer());
  const auto deadline = std::chrono::steady_clock::now() + kDoubt;
  while (std::chrono::steady_clock::now() < deadline) {
    if (const auto verdict = ask_for_verdict(); verdict != Decision::kOpen) {
      return verdict;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  return Decision::kOpen;
}

Result<> MoveIn::go() {
  BEAM_TRY(channel_->send(Go{}));
  BEAM_TRY(channel_->flush_all());
  BEAM_TRY_ASSIGN(const Frame frame, channel_->receive());
  if (frame.type == MessageType::kFailed) {
    BEAM_TRY_ASSIGN(const auto failure, frame.as<Failed>());
    return Error(0, failure.message);
  }
  BEAM_TRY(frame.as<Started>());
  return success();
}

// The sandbox runs nowhere, but all of it is here.
void MoveIn::keep_image(const std::string& reason) {
  end_held();
  const std::string directory = home_ + "/images";
  const std::string kept = directory + "/" + offer_.name + "-" + offer_.move.substr(0, 8);
  const auto made = make_private_directory(directory);
  if (!made.ok() || ::rename(image().c_str(), kept.c_str()) != 0) {
    BEAM_LOG_ERROR(kRuntime, "{}: {}; its image is {}", offer_.name, reason, image());
    return;
  }
  BEAM_LOG_ERROR(kRuntime, "{}: {}; its image is {}; to go on with it: beam thaw {}", offer_.name, reason, kept, kept);
  // `beam ps -a` shows it.
  record_.created_ms = now_ms();
  record_.workstation = cluster_.self;
  if (store_.add(record_).ok()) {
    (void)store_.finish(offer_.name, SandboxEnd{kExitFrozen, kept, now_ms()}).ok();
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void MoveIn::conclude() {
  // From here on the other side may decide that it runs here, whatever becomes of the connection.
  if (!link_.send(Ready{}).ok() || !link_.flush_all().ok()) {
    BEAM_LOG_WARN(kRuntime, "{}: {} may not have heard that it is held here", offer_.name, link_.peer());
  }
  const auto verdict = await_verdict();
  if (verdict == Decision::kStay) {
    fail(Error(ECANCELED, offer_.name + ": stays on " + link_.peer()));
    return;
  }
  if (verdict == Decision::kOpen) {
    keep_image("was handed over by " + link_.peer() + ", which can't be asked whether it may run");
    return;
  }
  if (fault_point("move.committed")) {
    keep_image("fault point");
    return;
  }
  if (const auto gone = go(); !gone.ok()) {
    keep_image(gone.error().message());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  const auto told = link_.send(Moved{});
  if (!told.ok() || !link_.flush_all().ok()) {
    BEAM_LOG_WARN(kRuntime, "{}: {} did not hear that it runs here", offer_.name, link_.peer());
  }
  if (offer_.followed) {
    follow();
  }
}

// Between the supervisor and the client on the other workstation.
void MoveIn::follow() {
  ::prctl(PR_SET_NAME, ("beam>" + link_.peer()).c_str());
  asio::io_context io;
  std::optional<Frame> end;
  std::shared_ptr<Relay> relay;
  bool lost = false;
  asio::posix::stream_descriptor socket(io, channel_->fd());
  std::function<void()> finish = [&] {
    if (end && relay->idle()) {
      relay->send_frame(end->type, end->payload);
      relay->flush_all();
      io.stop();
    }
  };
  relay = std::make_shared<Relay>(io, std::move(link_),
                                  Relay::Handlers{[&](Frame frame) {
                                                    if (!channel_->send_frame(frame.type, frame.payload).ok()) {
                                                      BEAM_LOG_INFO(kRuntime, "{}: has ended", offer_.name);
                                                    }
                                                  },
                                                  [&](const Error& error) {
                                                    BEAM_LOG_WARN(kRuntime, "{}: its client is lost: {}", offer_.name,
                                                                  error.message());
                                                    lost = true;
                                                    io.stop();
                                                  },
                                                  [&] { finish(); }});
  for (std::size_t i = 0; i < 3; ++i) {
    if (outside_[i]) {
      i == 0 ? relay->add_sink(i, std::move(outside_[i])) : relay->add_source(i, std::move(outside_[i]));
    }
  }
  std::function<void()> wait = [&] {
    socket.async_wait(asio::posix::stream_descriptor::wait_read, [&](const std::error_code& fault) {
      if (fault) {
        return;
      }
      const auto more = channel_->fill();
      for (auto frame = channel_->next(); frame.ok() && frame->has_value(); frame = channel_->next()) {
        if ((*frame)->type == MessageType::kEnded || (*frame)->type == MessageType::kFailed) {
          end = std::move(**frame);
        } else {
          relay->send_frame((*frame)->type, (*frame)->payload);
        }
      }
      if (end || !more.ok() || !*more) {
        if (!end) {
          const Failed failure{kExitBeamFailed, 0,
                               offer_.name + ": its supervisor was killed, and the sandbox with it"};
          end = Frame{Failed::kType, encode(failure), {}};
        }
        finish();
        return;
      }
      if (relay->congested()) {
        relay->flush_all();
      }
      wait();
    });
  };
  wait();
  relay->start();
  io.run();
  socket.release();
  if (lost) {
    outside_ = {UniqueFd(), relay->take_source(1), relay->take_source(2)};
    relay.reset();
    follow_into_logs();
  }
}

// Whoever had the output is gone; `beam logs` has what comes now.
void MoveIn::follow_into_logs() {
  channel_.reset();
  std::array<UniqueFd, 3> logs;
  const std::array<const char*, 3> names = {nullptr, kStdoutLog, kStderrLog};
  for (std::size_t i = 1; i < 3; ++i) {
    if (outside_[i]) {
      logs[i] =
          UniqueFd(::open(store_.file(offer_.name, names[i]).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    }
  }
  std::array<char, 65536> buffer{};
  while (outside_[1] || outside_[2]) {
    std::array<struct pollfd, 2> entries = {{{outside_[1].get(), POLLIN, 0}, {outside_[2].get(), POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), -1) < 0) {
      continue;
    }
    for (std::size_t i = 1; i < 3; ++i) {
      if (entries[i - 1].revents == 0) {
        continue;
      }
      const ssize_t got = ::read(outside_[i].get(), buffer.data(), buffer.size());
      if (got <= 0) {
        outside_[i].reset();
      } else if (logs[i]) {
        (void)write_all(logs[i].get(), std::string_view(buffer.data(), static_cast<std::size_t>(got))).ok();
      }
    }
  }
}

}  // namespace

void take_in(const Cluster& cluster, const std::string& home, Link link, const Offer& offer) {
  auto store = RecordStore::create();
  if (!store.ok()) {
    BEAM_LOG_ERROR(kRuntime, "{}", store.error().message());
    return;
  }
  MoveIn move(cluster, home, std::move(*store), std::move(link), offer);
  if (const auto prepared = move.prepare(); prepared.ok()) {
    move.conclude();
  } else {
    move.fail(prepared.error());
  }
}

}  // namespace beam::runtime
