// Sandboxes on the other workstations of this home's cluster.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/json.h"
#include "runtime/link.h"
#include "runtime/link_messages.h"

namespace beam::runtime {

// As list_sandboxes() has them; of workstations that can't be reached, none. Empty without a cluster.
[[nodiscard]] Json list_elsewhere(const std::string& home, bool all);
// Runs the verb `words` on the workstation that has the sandbox `name`, with this process's streams; its exit status.
// None: no workstation of the cluster has it.
[[nodiscard]] std::optional<int> run_elsewhere(const std::string& home, const std::string& name,
                                               const std::vector<std::string>& words);
// The other side of that, in a process of its own.
void run_verb(const std::string& home, Link link, const RunVerb& request);

}  // namespace beam::runtime
