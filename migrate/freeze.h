// Freezing a running sandbox into an image.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "interpose/engine.h"
#include "migrate/object_kind.h"

namespace beam::migrate {

struct FreezeOptions {
  std::string image_directory;  // must not exist yet
  bool keep_running = false;    // a snapshot: the sandbox goes on
  bool compress = false;        // the contents of memory
  bool durable = true;          // flushed to the disk before anything is ended
  // Files that are executed or mapped and go into the image, for where they are missing or differ: all, or these.
  bool self_contained = false;
  std::vector<std::string> carried;
  // What the sandbox was started with as 0, 1 and 2: these descriptors, or O_PATH ones of the same pipe or socket,
  // which keep no end of it open; -1: none.
  std::array<int, 3> stdio{-1, -1, -1};
  // The same of processes that were started in it later: thawed, they have the streams of the sandbox.
  std::vector<std::array<int, 3>> later_stdio;
  // Slave ends of the terminals whose masters the runtime holds: the sandbox's own consoles. A thaw gets as many.
  std::vector<int> consoles;
  // The runtime's description of the sandbox, kept as it is (Manifest.sandbox). Asked for on the event thread, once
  // nothing of the sandbox runs and nothing stands in the way.
  std::function<Result<std::string>()> describe;
  // Asked on the event thread once the image is complete, with the processes, which stand still: whether they may end.
  // On an error they run on. The image stays; it is the caller's to remove.
  std::function<Result<>(const std::vector<HostPid>& processes)> confirm;
  // Called on the event thread once the image is complete and durable, and before anything is ended.
  std::function<void()> on_durable;
  // Where every obstacle goes when the error is kObstacle; null: nowhere.
  std::vector<Obstacle>* obstacles = nullptr;
};

struct FreezeReport {
  std::uint64_t bytes = 0;  // of the image
  std::size_t processes = 0;
  std::size_t threads = 0;
};

// On failure the sandbox runs on as before, and there is no image. kObstacle: something in it can't be frozen; check()
// says what. EEXIST: there is something at image_directory.
[[nodiscard]] Result<FreezeReport> freeze(interpose::Engine& engine, const FreezeOptions& options);

// What would stand in the way of a freeze; empty: nothing. The sandbox stops for as long as it takes to look.
// Only stdio, later_stdio and consoles of the options count.
[[nodiscard]] Result<std::vector<Obstacle>> check(interpose::Engine& engine, const FreezeOptions& options);

}  // namespace beam::migrate
