// Where Beam keeps things: $BEAM_HOME for state, the runtime directory for sockets, libexec for its helpers.
//
// Holds: a directory that one of the open_ functions returned belongs to the effective user, is no symbolic link, and
// can't be written by anyone else; so no other user of the machine can plant a record, a socket or an image there.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace beam::runtime {

// $BEAM_HOME, or ${XDG_STATE_HOME:-~/.local/state}/beam; always absolute. Touches nothing.
Result<std::string> home_path();
// ${XDG_RUNTIME_DIR:-/tmp/beam-$UID}/beam. Touches nothing.
std::string runtime_path();

// `path` as it is from any working directory; empty names are refused.
Result<std::string> absolute_path(const std::string& path);

// Makes `path` with its missing parents (0700) and checks it as above.
Result<UniqueFd> make_private_directory(const std::string& path);
// Checks an existing one; ENOENT when there is none.
Result<UniqueFd> open_private_directory(const std::string& path);
// The runtime directory with its parent in /tmp, which is checked as well.
Result<UniqueFd> make_runtime_directory();

// The path of a helper program that was built or installed with this executable (libexec/beam/NAME).
Result<std::string> helper_path(const std::string& name);

// This workstation's name: $BEAM_WORKSTATION within a lab, or the host name.
std::string workstation_name();

}  // namespace beam::runtime
