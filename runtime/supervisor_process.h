// What a supervisor does with its own process and with descriptors before it starts COMMAND.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/record.h"

namespace beam::runtime {

// Leaves the caller's session, working directory and descriptors, all but `keep`. Returns the caller's streams; a
// stream that was closed reads as /dev/null.
std::array<UniqueFd, 3> detach_from_caller(const std::vector<int>& keep);
// What this process itself says on stderr goes to `path`.
void redirect_stderr(const std::string& path);

struct StreamSources {
  std::array<UniqueFd, 3> streams;
  UniqueFd stdin_keeper;  // the writing end that keeps stdin open
};

// stdin from /dev/null, or from a pipe that stays empty; stdout and stderr to the logs.
Result<StreamSources> detached_streams(const RecordStore& store, const std::string& name, bool keep_stdin);
// Puts `slave` into each stream of `mask`.
Result<> connect_terminal(std::array<UniqueFd, 3>& streams, unsigned mask, int slave);

}  // namespace beam::runtime
