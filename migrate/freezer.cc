#include <sys/utsname.h>
#include <time.h>

#include "base/fault.h"
#include "base/log.h"
#include "interpose/quiesce.h"
#include "migrate/collector.h"
#include "migrate/cpu.h"
#include "migrate/freeze.h"
#include "migrate/image.h"
#include "migrate/layer.h"

namespace beam::migrate {
namespace {

using interpose::Engine;
using interpose::QuiescedSandbox;
using interpose::Tracer;

Manifest describe(std::string sandbox) {
  utsname names{};
  ::uname(&names);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Manifest manifest;
  manifest.beam_version = BEAM_VERSION;
  manifest.kernel = std::string(names.sysname) + " " + names.release;
  manifest.workstation = names.nodename;
  manifest.created_ms = now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
  manifest.sandbox = std::move(sandbox);
  manifest.cpu_features = cpu_features();
  return manifest;
}

// One line for all of them; check() lists each.
Error refusal(const std::vector<Obstacle>& obstacles) {
  const Obstacle& first = obstacles.front();
  std::string text = "process " + std::to_string(first.vpid) + ", " + first.object + ": " + first.reason;
  if (obstacles.size() > 1) {
    text += " (and " + std::to_string(obstacles.size() - 1) + " more)";
  }
  return {kObstacle, std::move(text)};
}

// What a snapshot still has to do while the sandbox runs on.
struct Snapshot {
  std::string sandbox;
  Collector::Later later;
};

FreezeReport report_of(const SandboxState& state, std::uint64_t bytes) {
  FreezeReport report{bytes, state.processes.size(), 0};
  for (const auto& process : state.processes) {
    report.threads += process.threads.size();
  }
  return report;
}

Result<FreezeReport> freeze_on_event_thread(Tracer& tracer, const FreezeOptions& options, ImageWriter& image,
                                            std::optional<Snapshot>& snapshot) {
  BEAM_TRY_ASSIGN(const auto quiesced, QuiescedSandbox::begin(tracer));
  BEAM_TRY(interpose::read_in_all(*quiesced));
  if (fault_point("freeze.quiesced")) {
    return Error(EIO, "freeze: fault point");
  }
  std::string sandbox;
  if (options.describe) {
    BEAM_TRY_ASSIGN(sandbox, options.describe());
  }
  Collector collector(*quiesced, &image, options.stdio, &options.later_stdio);
  collector.set_consoles(options.consoles);
  if (options.keep_running) {
    collector.keep_running();
  }
  BEAM_TRY(collector.run());
  if (!collector.obstacles().empty()) {  // some show only when contents are taken
    if (options.obstacles != nullptr) {
      *options.obstacles = collector.obstacles();
    }
    return refusal(collector.obstacles());
  }
  if (collector.state().processes.empty()) {
    return Error(ESRCH, "freeze: no process is left");
  }
  BEAM_TRY(collector.carry_files(options.self_contained, options.carried));
  if (const auto& view = tracer.shared().view; view != nullptr) {
    BEAM_TRY(pack_layer(
        *view, [&](dev_t device, ino_t inode) { return collector.readable(device, inode); }, image));
  }
  if (fault_point("freeze.collected")) {
    return Error(EIO, "freeze: fault point");
  }
  if (options.keep_running) {
    collector.before_resume();
    snapshot.emplace(Snapshot{std::move(sandbox), std::move(collector).take_later()});
    quiesced->resume();
    return FreezeReport{};
  }
  BEAM_TRY(image.write_objects(collector.state()));
  if (fault_point("freeze.written")) {
    return Error(EIO, "freeze: fault point");
  }
  BEAM_TRY_ASSIGN(const std::uint64_t bytes, image.commit(describe(std::move(sandbox))));
  const FreezeReport report = report_of(collector.state(), bytes);
  if (options.confirm) {
    std::vector<HostPid> processes;
    for (const auto& [host, process] : tracer.shared().tasks.processes()) {
      processes.push_back(host);
    }
    BEAM_TRY(options.confirm(processes));
  }
  if (options.on_durable) {
    options.on_durable();
  }
  if (fault_point("freeze.durable")) {
    BEAM_LOG_WARN(kMigrate, "freeze: fault point after the image is durable");
  }
  collector.before_end();
  quiesced->end();
  return report;
}

// Memory from the twins, and all that takes the disk's time.
Result<FreezeReport> complete(Snapshot& snapshot, ImageWriter& image) {
  BEAM_TRY(finish_later(snapshot.later, image));
  if (fault_point("freeze.written")) {
    return Error(EIO, "freeze: fault point");
  }
  BEAM_TRY_ASSIGN(const std::uint64_t bytes, image.commit(describe(std::move(snapshot.sandbox))));
  return report_of(snapshot.later.state, bytes);
}

}  // namespace

Result<FreezeReport> freeze(Engine& engine, const FreezeOptions& options) {
  BEAM_TRY_ASSIGN(auto image, ImageWriter::create(options.image_directory, options.compress));
  if (!options.durable) {
    image.leave_in_memory();
  }
  if (options.keep_running) {
    image.flush_later();
  }
  std::optional<Snapshot> snapshot;
  std::optional<Result<FreezeReport>> result;
  engine.on_event_thread([&](Tracer& tracer) { result = freeze_on_event_thread(tracer, options, image, snapshot); });
  if (snapshot && result->ok()) {
    result = complete(*snapshot, image);
  }
  if (snapshot) {
    engine.on_event_thread([&](Tracer&) { snapshot->later.pages.clear(); });  // the twins
  }
  return std::move(*result);
}

Result<std::vector<Obstacle>> check(Engine& engine, const FreezeOptions& options) {
  std::optional<Result<std::vector<Obstacle>>> result;
  engine.on_event_thread([&](Tracer& tracer) {
    result = [&]() -> Result<std::vector<Obstacle>> {
      BEAM_TRY_ASSIGN(const auto quiesced, QuiescedSandbox::begin(tracer));
      BEAM_TRY(interpose::read_in_all(*quiesced));
      Collector collector(*quiesced, nullptr, options.stdio, &options.later_stdio);
      collector.set_consoles(options.consoles);
      BEAM_TRY(collector.run());
      return collector.obstacles();
    }();
  });
  return std::move(*result);
}

}  // namespace beam::migrate
