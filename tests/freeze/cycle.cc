// Runs COMMAND in a sandbox and disturbs it at random moments, as nothing that it does may show:
//   cycle hold SEED MEAN_MS COMMAND...       stops everything and lets it go on
//   cycle snapshot SEED MEAN_MS COMMAND...   freezes it into an image, and lets it go on
//   cycle freeze SEED MEAN_MS COMMAND...     freezes it, ends it, and thaws the image into new processes
//   cycle fence SEED MEAN_MS COMMAND...      freezes it so at each fence, and at random moments too unless MEAN_MS is 0
// A fence is a line FENCE on COMMAND's standard output, after which it waits for a line on its standard input
// (tests/guest/guest.h). PID 1 is Beam's init, as in `beam run`. CYCLE_KEEP=1 leaves the images.
// BEAM_VIEW=1 gives the sandbox a mount view, as `beam run` has it.
// Exit status: COMMAND's, 128+N for signal N; 125 when Beam failed; 3 when a fence's freeze was refused. The number of
// disturbances goes to stderr.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/unique_fd.h"
#include "interpose/engine.h"
#include "interpose/quiesce.h"
#include "migrate/freeze.h"
#include "migrate/thaw.h"
#include "ns/network_space.h"
#include "rootfs/mount_plan.h"
#include "runtime/launch.h"

namespace {

using beam::UniqueFd;
using beam::VirtualPid;
using beam::interpose::Engine;
using beam::interpose::QuiescedSandbox;
using beam::interpose::Tracer;

constexpr int kBeamFailed = 125;
constexpr int kRefused = 3;

class Watcher : public beam::interpose::Observer {
 public:
  enum class News { kNone, kEnded, kFence };

  void on_exit(VirtualPid pid, int status) override {
    const std::lock_guard lock(mutex_);
    if (pid == VirtualPid(1)) {
      status_ = status;
    }
  }
  void on_empty() override {
    const std::lock_guard lock(mutex_);
    empty_ = true;
    changed_.notify_all();
  }
  void on_fence() {
    const std::lock_guard lock(mutex_);
    ++fences_;
    changed_.notify_all();
  }
  // What has happened within the time; a fence counts once. Without a time it waits for something.
  News wait(std::optional<std::chrono::microseconds> time) {
    std::unique_lock lock(mutex_);
    const auto news = [this] { return empty_ || fences_ > 0; };
    if (time) {
      changed_.wait_for(lock, *time, news);
    } else {
      changed_.wait(lock, news);
    }
    if (empty_) {
      return News::kEnded;
    }
    if (fences_ > 0) {
      --fences_;
      return News::kFence;
    }
    return News::kNone;
  }
  [[nodiscard]] bool ended() {
    const std::lock_guard lock(mutex_);
    return empty_;
  }
  // The sandbox that ended was frozen: the next one is its continuation.
  void start_over() {
    const std::lock_guard lock(mutex_);
    empty_ = false;
    status_ = 0;
  }
  [[nodiscard]] int exit_status() {
    const std::lock_guard lock(mutex_);
    return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool empty_ = false;
  int fences_ = 0;
  int status_ = 0;
};

// The command's streams in mode fence: what it prints is passed on, and looked through for fences.
class FenceStreams {
 public:
  explicit FenceStreams(Watcher& watcher) : watcher_(watcher) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) {
      std::perror("cycle: pipe");
      std::exit(kBeamFailed);
    }
    command_in_.reset(in[0]);
    answer_.reset(in[1]);
    command_out_.reset(out[1]);
    reader_ = std::thread([this, from = out[0]] { pass_on(UniqueFd(from)); });
  }
  ~FenceStreams() {
    command_out_.reset();
    reader_.join();
  }
  FenceStreams(const FenceStreams&) = delete;
  FenceStreams& operator=(const FenceStreams&) = delete;

  [[nodiscard]] std::array<int, 3> stdio() const { return {command_in_.get(), command_out_.get(), 2}; }
  void answer() const {
    if (::write(answer_.get(), "\n", 1) != 1) {
      std::perror("cycle: answer a fence");
    }
  }

 private:
  void pass_on(UniqueFd from) {
    std::string line;
    std::array<char, 4096> bytes{};
    for (;;) {
      const ssize_t got = ::read(from.get(), bytes.data(), bytes.size());
      if (got <= 0) {
        return;
      }
      std::fwrite(bytes.data(), 1, static_cast<std::size_t>(got), stdout);
      std::fflush(stdout);
      for (const char byte : std::string_view(bytes.data(), static_cast<std::size_t>(got))) {
        if (byte != '\n') {
          line += byte;
          continue;
        }
        if (line == "FENCE") {
          watcher_.on_fence();
        }
        line.clear();
      }
    }
  }

  Watcher& watcher_;
  UniqueFd command_in_;
  UniqueFd command_out_;
  UniqueFd answer_;
  std::thread reader_;
};

int complain(const std::string& what) {
  std::fprintf(stderr, "cycle: %s\n", what.c_str());
  return kBeamFailed;
}

using beam::Result;

enum class Mode { kHold, kSnapshot, kFreeze, kFence };

class Cycle {
 public:
  Cycle(Mode mode, unsigned seed, double mean_ms) : mode_(mode), random_(seed), mean_ms_(mean_ms) {
    std::string name = std::string(std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR") : "/tmp") + "/cycle.XXXXXX";
    directory_ = ::mkdtemp(name.data()) != nullptr ? name : "/nonexistent";
    if (mode == Mode::kFence) {
      fence_ = std::make_unique<FenceStreams>(watcher_);
      stdio_ = fence_->stdio();
    }
  }
  ~Cycle() {
    std::error_code ignored;
    if (std::getenv("CYCLE_KEEP") == nullptr) {
      std::filesystem::remove_all(directory_, ignored);
    }
  }

  Result<int> run(char** command) {
    beam::interpose::EngineOptions options;
    BEAM_TRY_ASSIGN(options.view, view());
    BEAM_TRY_ASSIGN(options.network, network());
    BEAM_TRY_ASSIGN(engine_, Engine::start(std::move(options), watcher_));
    BEAM_TRY(start(command));
    for (;;) {
      switch (watcher_.wait(pause())) {
        case Watcher::News::kEnded:
          return watcher_.exit_status();
        case Watcher::News::kFence:
          BEAM_TRY(disturb());
          fence_->answer();
          break;
        case Watcher::News::kNone:
          BEAM_TRY(disturb());
          break;
      }
    }
  }
  [[nodiscard]] int disturbances() const { return disturbances_; }
  [[nodiscard]] int refusals() const { return refusals_; }

 private:
  // Of each sandbox one of its own: a thaw takes what the frozen one has left from the image.
  Result<std::optional<beam::rootfs::ViewOptions>> view() {
    const char* wanted = std::getenv("BEAM_VIEW");
    if (wanted == nullptr || std::string_view(wanted) != "1") {
      return std::optional<beam::rootfs::ViewOptions>();
    }
    beam::rootfs::MountOptions mounts;
    mounts.directory = std::filesystem::current_path();
    mounts.home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
    mounts.own = {directory_};
    if (!layer_.empty()) {
      std::filesystem::remove_all(layer_);
    }
    layer_ = directory_ + "/layer-" + std::to_string(disturbances_);
    beam::rootfs::ViewOptions view;
    view.layer = layer_;
    BEAM_TRY_ASSIGN(view.mounts, beam::rootfs::plan_mounts(mounts));
    return std::optional(std::move(view));
  }

  // One of its own, as `beam run` gives by default: the workstation may have taken a port in the meantime.
  static Result<std::shared_ptr<beam::ns::NetworkSpace>> network() {
    BEAM_TRY_ASSIGN(auto index, beam::ns::HostIndex::claim());
    return std::make_shared<beam::ns::NetworkSpace>(std::move(index), beam::ns::NetworkSpace::kFirstAddress);
  }

  Result<> start(char** command) {
    beam::interpose::SpawnRequest request;
    request.working_directory = std::filesystem::current_path();
    request.envp = beam::runtime::current_environment();
    BEAM_TRY_ASSIGN(const std::string program,
                    beam::runtime::find_executable(command[0], request.envp, request.working_directory));
    request.path = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "../../runtime/beam-init";
    request.argv = {"beam-init", "--", program};
    for (char** word = command; *word != nullptr; ++word) {
      request.argv.emplace_back(*word);
    }
    request.stdio = stdio_;
    request.is_own = true;
    const UniqueFd report(::open("/dev/null", O_WRONLY | O_CLOEXEC));  // nobody asks how the start went
    request.inherit = {report.get()};
    BEAM_TRY(engine_->spawn(request));
    return beam::success();
  }

  // Until the next random disturbance; nothing: there is none.
  std::optional<std::chrono::microseconds> pause() {
    if (mean_ms_ <= 0) {
      return std::nullopt;
    }
    std::exponential_distribution<double> pause(1.0 / mean_ms_);
    return std::chrono::microseconds(static_cast<long>(pause(random_) * 1000));
  }

  Result<> disturb() {
    ++disturbances_;
    if (mode_ == Mode::kHold) {
      Result<> result = beam::success();
      engine_->on_event_thread([&](Tracer& tracer) {
        auto quiesced = QuiescedSandbox::begin(tracer);
        if (!quiesced.ok()) {
          result = std::move(quiesced).error();
        }
      });
      return result;
    }
    const std::string image_directory = directory_ + "/" + std::to_string(disturbances_);
    beam::migrate::FreezeOptions freeze;
    freeze.image_directory = image_directory;
    freeze.keep_running = mode_ == Mode::kSnapshot;
    freeze.stdio = stdio_;
    const auto frozen = beam::migrate::freeze(*engine_, freeze);
    if (!frozen.ok() && frozen.error().code() == beam::migrate::kObstacle) {
      std::fprintf(stderr, "cycle: not frozen: %s\n", frozen.error().message().c_str());
      ++refusals_;
      return beam::success();
    }
    if (!frozen.ok()) {
      // The end of the command may have come first.
      return watcher_.ended() ? beam::success() : Result<>(frozen.error());
    }
    if (mode_ != Mode::kSnapshot) {
      engine_.reset();
      watcher_.start_over();
      BEAM_TRY_ASSIGN(const auto image, beam::migrate::Image::open(image_directory));
      beam::migrate::ThawOptions thaw;
      thaw.stdio = stdio_;
      BEAM_TRY_ASSIGN(thaw.engine.view, view());
      BEAM_TRY_ASSIGN(thaw.engine.network, network());
      BEAM_TRY_ASSIGN(engine_, beam::migrate::thaw(image, thaw, watcher_));
    }
    if (std::getenv("CYCLE_KEEP") == nullptr) {
      std::filesystem::remove_all(image_directory);
    }
    return beam::success();
  }

  Mode mode_;
  std::mt19937 random_;
  double mean_ms_;
  std::string directory_;
  std::string layer_;
  std::array<int, 3> stdio_{0, 1, 2};
  int disturbances_ = 0;
  int refusals_ = 0;
  Watcher watcher_;
  std::unique_ptr<FenceStreams> fence_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace

int main(int argc, char** argv) {
  beam::log::init();
  const std::map<std::string, Mode> modes{
      {"hold", Mode::kHold}, {"snapshot", Mode::kSnapshot}, {"freeze", Mode::kFreeze}, {"fence", Mode::kFence}};
  if (argc < 5 || !modes.contains(argv[1])) {
    std::fprintf(stderr, "usage: cycle hold|snapshot|freeze|fence SEED MEAN_MS COMMAND...\n");
    return kBeamFailed;
  }
  std::signal(SIGPIPE, SIG_IGN);  // a command that has ended does not read its answer
  Cycle cycle(modes.at(argv[1]), static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)),
              std::strtod(argv[3], nullptr));
  const auto status = cycle.run(argv + 4);
  std::fprintf(stderr, "cycle: %s %d times, refused %d times\n", argv[1], cycle.disturbances(), cycle.refusals());
  if (!status.ok()) {
    return complain(status.error().message());
  }
  return cycle.refusals() > 0 && *status == 0 && modes.at(argv[1]) == Mode::kFence ? kRefused : *status;
}
