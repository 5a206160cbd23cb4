// What a supervisor is started with to go on with a frozen sandbox.
#pragma once

#include <string>

#include "runtime/description.h"
#include "runtime/supervisor.h"

namespace beam::runtime {

// In the foreground and under the name that it had; `image` is absolute.
[[nodiscard]] RunConfig thaw_config(const SandboxDescription& description, const std::string& image);
// A group of its own is called as the sandbox.
void rename(SandboxRecord& record, const std::string& name);

}  // namespace beam::runtime
