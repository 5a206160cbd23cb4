// The part of a move that the workstation does which a sandbox comes to.
#pragma once

#include "runtime/cluster.h"
#include "runtime/link.h"
#include "runtime/link_messages.h"

namespace beam::runtime {

// Takes in what was offered, in a process of its own: returns once the sandbox runs or the move has come to nothing,
// or, where somebody waits for the sandbox on the workstation that it left, once it has ended.
void take_in(const Cluster& cluster, const std::string& home, Link link, const Offer& offer);

}  // namespace beam::runtime
