// Sockets of supervisors in the runtime directory, unix(7). Paths of any length work: the directory goes by descriptor.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace beam::runtime {

// Listens on a new socket in the runtime directory; `path` becomes its path.
Result<UniqueFd> listen_below_runtime_directory(std::string& path);
// ENOENT or ECONNREFUSED when nobody listens there.
Result<UniqueFd> connect_socket(const std::string& path);
// Takes the next connection, of this user or of root only.
Result<UniqueFd> accept_own_user(int listener);
void unlink_socket(const std::string& path);

}  // namespace beam::runtime
