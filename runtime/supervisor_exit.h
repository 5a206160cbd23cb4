// How a supervisor says that something failed, or how the sandbox ended.
#pragma once

#include "base/result.h"
#include "runtime/messages.h"

namespace beam::runtime {

inline constexpr int kExitBeamFailed = 125;
inline constexpr int kExitFrozen = 85;

[[nodiscard]] inline Failed failed(int exit_status, const Error& error) {
  return Failed{exit_status, error.code(), error.message()};
}

}  // namespace beam::runtime
