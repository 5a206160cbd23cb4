// Controlling terminals.
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>

#include "interpose/agent/layout.h"
#include "migrate/restorer.h"

namespace beam::migrate {

Result<> Restorer::take_terminal(const ProcessState& process) {
  const auto terminal =
      std::find_if(state_.terminals.begin(), state_.terminals.end(),
                   [&](const SessionTerminal& candidate) { return candidate.session == process.vpid; });
  if (terminal == state_.terminals.end()) {
    return success();
  }
  const std::vector<int>* consoles = options_.consoles;
  if (terminal->console < 0 || consoles == nullptr || static_cast<std::size_t>(terminal->console) >= consoles->size()) {
    return Error(kDamaged, "session " + std::to_string(process.vpid) + " has a terminal that is not there");
  }
  Remote remote(*leaders_.at(process.vpid));
  remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
  std::vector<int> numbers;
  BEAM_TRY(hand_over(remote, {(*consoles)[static_cast<std::size_t>(terminal->console)]}, numbers));
  const auto fd = static_cast<std::uint64_t>(numbers.front());
  BEAM_TRY(remote.call("take the controlling terminal", SYS_ioctl, fd, TIOCSCTTY, 0));
  BEAM_TRY(remote.call("close", SYS_close, fd));
  return success();
}

// Once groups are as they were. The callers block SIGTTOU, which a background process would get otherwise.
Result<> Restorer::set_foreground_groups() {
  for (const SessionTerminal& terminal : state_.terminals) {
    const HostPid group = tracer_.shared().pids.to_host(VirtualPid(terminal.foreground));
    const auto leader = leaders_.find(terminal.session);
    // A group that nobody is in any more: the kernel has none either, as soon as somebody asks.
    if (group == HostPid() || leader == leaders_.end()) {
      continue;
    }
    Remote remote(*leader->second);
    remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
    std::vector<int> numbers;
    BEAM_TRY(hand_over(remote, {(*options_.consoles)[static_cast<std::size_t>(terminal.console)]}, numbers));
    BEAM_TRY_ASSIGN(const std::uint64_t at, remote.put(group.value()));
    const auto fd = static_cast<std::uint64_t>(numbers.front());
    BEAM_TRY(remote.call("set the foreground group", SYS_ioctl, fd, TIOCSPGRP, at));
    BEAM_TRY(remote.call("close", SYS_close, fd));
  }
  return success();
}

}  // namespace beam::migrate
