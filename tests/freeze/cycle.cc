// Runs COMMAND in a sandbox and disturbs it at random moments, as nothing that it does may show:
//   cycle hold SEED MEAN_MS COMMAND...       stops everything and lets it go on
//   cycle snapshot SEED MEAN_MS COMMAND...   freezes it into an image, and lets it go on
//   cycle freeze SEED MEAN_MS COMMAND...     freezes it, ends it, and thaws the image into new processes
// Exit status: COMMAND's, 128+N for signal N; 125 when Beam failed. The number of disturbances goes to stderr.
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "base/log.h"
#include "interpose/engine.h"
#include "interpose/quiesce.h"
#include "migrate/freeze.h"
#include "migrate/thaw.h"

namespace {

using beam::VirtualPid;
using beam::interpose::Engine;
using beam::interpose::QuiescedSandbox;
using beam::interpose::Tracer;

constexpr int kBeamFailed = 125;

class Watcher : public beam::interpose::Observer {
 public:
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
  // True when the sandbox ended within the time.
  bool ended_within(std::chrono::microseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return empty_; });
  }
  [[nodiscard]] int exit_status() {
    const std::lock_guard lock(mutex_);
    return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool empty_ = false;
  int status_ = 0;
};

int complain(const std::string& what) {
  std::fprintf(stderr, "cycle: %s\n", what.c_str());
  return kBeamFailed;
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return name;
  }
  std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "/usr/bin:/bin";
  for (char* place = std::strtok(path.data(), ":"); place != nullptr; place = std::strtok(nullptr, ":")) {
    const std::string candidate = std::string(place) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return name;
}

using beam::Result;

enum class Mode { kHold, kSnapshot, kFreeze };

class Cycle {
 public:
  Cycle(Mode mode, unsigned seed, double mean_ms) : mode_(mode), random_(seed), pause_(1.0 / mean_ms) {
    std::string name = std::string(std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR") : "/tmp") + "/cycle.XXXXXX";
    directory_ = ::mkdtemp(name.data()) != nullptr ? name : "/nonexistent";
  }
  ~Cycle() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Result<int> run(char** command) {
    watcher_ = std::make_unique<Watcher>();
    BEAM_TRY_ASSIGN(engine_, Engine::start({}, *watcher_));
    beam::interpose::SpawnRequest request;
    request.path = find_program(command[0]);
    request.working_directory = std::filesystem::current_path();
    for (char** word = command; *word != nullptr; ++word) {
      request.argv.emplace_back(*word);
    }
    for (char** variable = environ; *variable != nullptr; ++variable) {
      request.envp.emplace_back(*variable);
    }
    BEAM_TRY(engine_->spawn(request));
    while (!watcher_->ended_within(std::chrono::microseconds(static_cast<long>(pause_(random_) * 1000)))) {
      BEAM_TRY(disturb());
      ++disturbances_;
    }
    return watcher_->exit_status();
  }
  [[nodiscard]] int disturbances() const { return disturbances_; }
  [[nodiscard]] int refusals() const { return refusals_; }

 private:
  Result<> disturb() {
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
    freeze.stdio = {0, 1, 2};
    const auto frozen = beam::migrate::freeze(*engine_, freeze);
    if (!frozen.ok() && frozen.error().code() == beam::migrate::kObstacle) {
      std::fprintf(stderr, "cycle: not frozen: %s\n", frozen.error().message().c_str());
      ++refusals_;
      return beam::success();
    }
    if (!frozen.ok()) {
      // The end of the command may have come first.
      return watcher_->ended_within(std::chrono::seconds(0)) ? beam::success() : Result<>(frozen.error());
    }
    if (mode_ == Mode::kFreeze) {
      engine_.reset();
      watcher_ = std::make_unique<Watcher>();
      BEAM_TRY_ASSIGN(const auto image, beam::migrate::Image::open(image_directory));
      BEAM_TRY_ASSIGN(engine_, beam::migrate::thaw(image, {}, *watcher_));
    }
    if (std::getenv("CYCLE_KEEP") == nullptr) {
      std::filesystem::remove_all(image_directory);
    }
    return beam::success();
  }

  Mode mode_;
  std::mt19937 random_;
  std::exponential_distribution<double> pause_;
  std::string directory_;
  int disturbances_ = 0;
  int refusals_ = 0;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace

int main(int argc, char** argv) {
  beam::log::init();
  const std::map<std::string, Mode> modes{{"hold", Mode::kHold}, {"snapshot", Mode::kSnapshot}, {"freeze", Mode::kFreeze}};
  if (argc < 5 || !modes.contains(argv[1])) {
    std::fprintf(stderr, "usage: cycle hold|snapshot|freeze SEED MEAN_MS COMMAND...\n");
    return kBeamFailed;
  }
  Cycle cycle(modes.at(argv[1]), static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)), std::strtod(argv[3], nullptr));
  const auto status = cycle.run(argv + 4);
  std::fprintf(stderr, "cycle: %s %d times, refused %d times\n", argv[1], cycle.disturbances(), cycle.refusals());
  return status.ok() ? *status : complain(status.error().message());
}
