// What most verbs begin with: the sandbox that the command line names, and a connection to its supervisor.
#pragma once

#include <optional>
#include <string>

#include "runtime/channel.h"
#include "runtime/record.h"
#include "runtime/verb.h"

namespace beam::runtime {

struct Reached {
  RecordStore store;
  SandboxRecord record;
  Channel channel;
};

// None: said why not, or done by another workstation (fail_lookup); `status` is then what the verb ends with: `no_such`
// where there is no such sandbox, `failed` for everything else, or what the other workstation says.
[[nodiscard]] std::optional<Reached> reach(const std::string& name, int& status, int no_such = kExitNoSuch,
                                           int failed = kExitFailed);

}  // namespace beam::runtime
