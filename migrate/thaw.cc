#include "migrate/thaw.h"

#include <time.h>

#include <optional>

#include "interpose/tracer.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace

Result<std::unique_ptr<interpose::Engine>> thaw(const Image& image, ThawOptions options, interpose::Observer& observer) {
  BEAM_TRY(image.verify());
  BEAM_TRY_ASSIGN(const SandboxState state, image.load());
  if (options.engine.host_name.empty()) {
    options.engine.host_name = state.host_name;
  }
  BEAM_TRY_ASSIGN(auto engine, interpose::Engine::start(std::move(options.engine), observer));
  std::optional<Result<>> result;
  engine->on_event_thread([&](interpose::Tracer& tracer) {
    tracer.shared().clock_offsets = {state.clocks.monotonic_ns - clock_ns(CLOCK_MONOTONIC),
                                     state.clocks.boottime_ns - clock_ns(CLOCK_BOOTTIME)};
    Restorer restorer(tracer, image, state, {options.stdio, options.force});
    result = restorer.build();
    if (result->ok()) {
      restorer.start();
    } else {
      restorer.abandon();
    }
  });
  if (!result->ok()) {
    return std::move(*result).error();
  }
  return engine;
}

}  // namespace beam::migrate
