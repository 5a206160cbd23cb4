// Controlling terminals: which session has which, and which process group is in its foreground.
#include <sys/ioctl.h>

#include <algorithm>

#include "migrate/collector.h"

namespace beam::migrate {

Result<> Collector::session_terminals() {
  const auto& pids = sandbox_.shared().pids;
  for (const ProcessState& process : state_.processes) {
    if (process.wait_status || process.session != process.vpid) {
      continue;
    }
    BEAM_TRY_ASSIGN(const auto stat, ProcStatFields::read(pids.to_host(VirtualPid(process.vpid))));
    const auto device = static_cast<unsigned>(stat.field(7));
    if (device == 0) {
      continue;
    }
    SessionTerminal terminal;
    terminal.session = process.vpid;
    terminal.foreground = pids.to_virtual(HostPid(static_cast<pid_t>(stat.field(8)))).value();
    const std::size_t consoles = context_.consoles == nullptr ? 0 : context_.consoles->size();
    for (std::size_t i = 0; i < consoles; ++i) {
      unsigned slave = 0;
      if (::ioctl((*context_.consoles)[i], TIOCGDEV, &slave) == 0 && slave == device) {
        terminal.console = static_cast<std::int32_t>(i);
      }
    }
    // Any other is a pseudo-terminal of the sandbox's own making, which its kind gives back.
    if (terminal.console >= 0) {
      state_.terminals.push_back(terminal);
    }
  }
  return success();
}

}  // namespace beam::migrate
