#include "migrate/thaw.h"
#include "migrate/network.h"

#include <time.h>

#include <optional>

#include "base/fault.h"
#include "interpose/message_traps.h"
#include "interpose/tracer.h"
#include "migrate/cpu.h"
#include "migrate/layer.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace

Result<std::unique_ptr<interpose::Engine>> thaw(const Image& image, ThawOptions options,
                                                interpose::Observer& observer) {
  if (!options.verified) {
    BEAM_TRY(image.verify(true));
  }
  const auto missing = missing_features(image.manifest().cpu_features, cpu_features());
  if (!missing.empty() && !options.force) {
    std::string list;
    for (const std::string& feature : missing) {
      list += (list.empty() ? "" : ", ") + feature;
    }
    return Error(ENOTSUP, "this processor lacks what programs may have found on the frozen one's: " + list)
        .remedy("thaw it on a processor that has them, or with --force");
  }
  BEAM_TRY_ASSIGN(const SandboxState state, image.load());
  BEAM_TRY_ASSIGN(const auto layer, read_layer(image));
  if (layer.has_value() != options.engine.view.has_value()) {
    return Error(kDamaged, layer ? "the image has a private layer, and does not say of which mounts"
                                 : "the image says of mounts, and has no private layer");
  }
  if (options.engine.host_name.empty()) {
    options.engine.host_name = state.host_name;
  }
  if (fault_point("thaw.loaded")) {
    return Error(EIO, "thaw: fault point");
  }
  const auto network = options.engine.network;
  if (layer) {
    BEAM_TRY(unpack_layer(image, *layer, options.engine.view->layer));
  }
  BEAM_TRY_ASSIGN(auto engine, interpose::Engine::start(std::move(options.engine), observer));
  BEAM_TRY(restore_network(network.get(), state.network));
  std::optional<Result<>> result;
  engine->on_event_thread([&](interpose::Tracer& tracer) {
    tracer.shared().clock_offsets = {state.clocks.monotonic_ns - clock_ns(CLOCK_MONOTONIC),
                                     state.clocks.boottime_ns - clock_ns(CLOCK_BOOTTIME)};
    if (layer) {
      recall_layer(*layer, *tracer.shared().view);
    }
    tracer.shared().message_traps = state.message_traps & (interpose::kTrapSends | interpose::kTrapReceives);
    Restorer restorer(tracer, image, state, {options.stdio, options.force, options.eager, &options.consoles});
    result = restorer.build();
    if (result->ok() && options.confirm) {
      result = options.confirm();
    }
    if (result->ok()) {
      restorer.start();
    } else {
      restorer.abandon();
    }
  });
  if (!result->ok()) {
    return std::move(*result).error();
  }
  if (!options.eager) {
    engine->read_in_background();
  }
  return engine;
}

}  // namespace beam::migrate
