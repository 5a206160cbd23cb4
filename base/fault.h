// Fault points: places where a test makes the next step fail. BEAM_FAULT=name:N[,name:N...] makes the N-th passage through
// the point `name` fail; BEAM_FAULT=name:N:kill ends Beam there with SIGKILL instead.
#pragma once

#include <string_view>

namespace beam {

// True when this passage has to fail. Costs one relaxed load when BEAM_FAULT is not set.
[[nodiscard]] bool fault_point(std::string_view name);

}  // namespace beam
