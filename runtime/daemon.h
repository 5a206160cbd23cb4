// beamd: what a workstation does for the others of its cluster. One per home, as its ordinary user.
//
// It listens at the workstation's address and gives each connection a process of its own, which authenticates the peer
// and does what that asks; so what a stranger sends reaches no other connection, and sandboxes outlive the daemon.
#pragma once

#include <string>

#include "base/result.h"

namespace beam::runtime {

// Returns when SIGTERM or SIGINT came. Errors: there is no cluster, the address can't be listened at, another daemon of
// this home runs.
Result<> run_daemon(const std::string& home);

// Ends the daemon of `home`, if one runs, and waits for its end.
Result<> stop_daemon(const std::string& home);

}  // namespace beam::runtime
