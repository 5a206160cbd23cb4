// Runs COMMAND in a sandbox with a mount view, with nothing of the command line around it:
//   view_run LAYER [--rw PATH] [--bind SRC:DST[:ro]] [--tmpfs DST] [--hide PATH] [--show PATH] -- COMMAND...
// LAYER is the private layer's directory. Exit status: COMMAND's, 128+N for signal N; 125 when Beam failed.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>

#include "base/log.h"
#include "interpose/engine.h"
#include "rootfs/mount_plan.h"

namespace {

using beam::VirtualPid;
using beam::interpose::Engine;

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
  int wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return empty_; });
    return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool empty_ = false;
  int status_ = 0;
};

int complain(const std::string& what) {
  std::fprintf(stderr, "view_run: %s\n", what.c_str());
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

}  // namespace

int main(int argc, char** argv) {
  beam::log::init();
  if (argc < 2) {
    return complain("usage: view_run LAYER [OPTIONS] -- COMMAND...");
  }
  beam::rootfs::MountOptions mounts;
  mounts.directory = std::filesystem::current_path();
  mounts.home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  mounts.own = {argv[1]};
  int at = 2;
  for (; at + 1 < argc && std::strcmp(argv[at], "--") != 0; at += 2) {
    const std::string option = argv[at];
    auto& list = option == "--rw"      ? mounts.writable
                 : option == "--bind"  ? mounts.binds
                 : option == "--tmpfs" ? mounts.tmpfs
                 : option == "--hide"  ? mounts.hidden
                                       : mounts.shown;
    list.emplace_back(argv[at + 1]);
  }
  if (++at >= argc) {
    return complain("no command");
  }
  auto plan = beam::rootfs::plan_mounts(mounts);
  if (!plan.ok()) {
    return complain(plan.error().message());
  }
  Watcher watcher;
  beam::interpose::EngineOptions options;
  options.view = beam::rootfs::ViewOptions{argv[1], std::move(plan).value()};
  options.trace_fd = std::getenv("VIEW_TRACE") != nullptr ? 2 : -1;
  auto engine = Engine::start(std::move(options), watcher);
  if (!engine.ok()) {
    return complain(engine.error().message());
  }
  beam::interpose::SpawnRequest request;
  request.path = find_program(argv[at]);
  request.working_directory = mounts.directory;
  request.umask = ::umask(022);
  for (int i = at; i < argc; ++i) {
    request.argv.emplace_back(argv[i]);
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    request.envp.emplace_back(*variable);
  }
  const int report = ::open("/dev/null", O_WRONLY | O_CLOEXEC);  // what beam-init says where it is the command
  request.inherit = {report};
  const auto spawned = (*engine)->spawn(request);
  return spawned.ok() ? watcher.wait() : complain(spawned.error().message());
}
