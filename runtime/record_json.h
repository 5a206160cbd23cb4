// Records as JSON: what $BEAM_HOME keeps of a sandbox, and what an image says of the sandbox that it is of.
#pragma once

#include "runtime/json.h"
#include "runtime/record.h"

namespace beam::runtime {

[[nodiscard]] Json record_to_json(const SandboxRecord& record);
// Throws Json::exception for anything else.
[[nodiscard]] SandboxRecord record_from_json(const Json& json);

}  // namespace beam::runtime
