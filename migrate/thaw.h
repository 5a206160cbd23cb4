// Making a frozen sandbox again from its image.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "interpose/engine.h"
#include "migrate/image.h"

namespace beam::migrate {

struct ThawOptions {
  std::array<int, 3> stdio{0, 1, 2};  // what the sandbox's open streams are connected to; -1: /dev/null; not consumed
  std::vector<int> consoles;          // slave ends of the new terminals, as many as the image has; not consumed
  // Read all memory before the sandbox runs. Otherwise much of it is read while it runs, from the image's files, which
  // may be removed meanwhile, but not written to.
  bool eager = false;
  bool verified = false;  // the files of the image are known to be as they were written
  bool force = false;     // go on with files that have changed since the freeze
  // An empty host_name: the image's. A view for an image with a private layer, which is unpacked to where that view has
  // its own; nothing may be there.
  interpose::EngineOptions engine;
  // Asked on the event thread once all is there and held: whether it may run. On an error nothing of it is left.
  std::function<Result<>()> confirm;
};

// The sandbox runs when this returns. kDamaged: the image is damaged, and no process was made. On any failure nothing
// is left behind.
[[nodiscard]] Result<std::unique_ptr<interpose::Engine>> thaw(const Image& image, ThawOptions options,
                                                              interpose::Observer& observer);

}  // namespace beam::migrate
