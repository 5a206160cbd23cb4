// The program `beamd`: the daemon of a workstation.
#include <CLI/CLI.hpp>
#include <optional>

#include "base/log.h"
#include "runtime/daemon.h"
#include "runtime/paths.h"
#include "runtime/verb.h"

int main(int argc, char** argv) {
  using namespace beam::runtime;
  VerbLine line("", "Takes in sandboxes that move to this workstation.", "[OPTIONS]", kExitUsage);
  if (const auto done = line.parse({argv + 1, argv + argc})) {
    return *done;
  }
  const auto home = home_path();
  if (!home.ok()) {
    return fail(kExitFailed, home.error().message());
  }
  const auto ran = run_daemon(*home);
  return ran.ok() ? kExitDone : fail(kExitFailed, ran.error().message());
}
