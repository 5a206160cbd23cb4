// What stands in the way of a freeze, as people read it.
#pragma once

#include <string>

#include "runtime/messages.h"

namespace beam::runtime {

// "job:7: fd 5 (socket:[123]): this kind of object can't be frozen": NAME and virtual pid as `beam kill` takes them.
[[nodiscard]] inline std::string describe(const std::string& name, const Obstacles::Entry& obstacle) {
  return name + ":" + std::to_string(obstacle.vpid) + ": " + obstacle.object + ": " + obstacle.reason;
}

}  // namespace beam::runtime
