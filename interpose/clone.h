// fork, vfork, clone and clone3: what must be known from entry, or from the event, to the parent's exit.
#pragma once

#include <cstdint>
#include <memory>

#include "interpose/call.h"

namespace beam::interpose {

class CloneInProgress : public CallInProgress {
 public:
  std::uint64_t flags = 0;
  std::uint64_t parent_tid = 0;
  std::uint64_t child_tid = 0;
  int exit_signal = 0;
  bool settid_by_us = false;  // the SETTID flags were taken out at entry, so that no thread ever sees the host's id
  VirtualPid child;           // known from the event on

  void at_exit(ExitCall& call) override;
};

// For a call that the filter let pass without an entry stop: reads the flags from the registers at the event. Null when
// the task has died.
std::unique_ptr<CloneInProgress> clone_seen_at_event(StoppedTracee& tracee);

}  // namespace beam::interpose
