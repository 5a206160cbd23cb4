// beam attach: the terminal of a sandbox that has one.
#include "runtime/foreground.h"
#include "runtime/reach.h"
#include "runtime/verb.h"

namespace beam::runtime {

int verb_attach(const std::vector<std::string>& arguments) {
  VerbLine line("attach", "Takes over the terminal of a sandbox that has one. Detach with ctrl-p ctrl-q.",
                "[OPTIONS] NAME", kExitUsage);
  std::string name;
  line.app().add_option("NAME", name, "The sandbox")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  int failure = kExitDone;
  auto sandbox = reach(name, failure);
  if (!sandbox) {
    return failure;
  }
  const SignalBlock signals;
  auto terminal = Terminal::find();
  const StreamSetup streams = plan_streams(terminal, true);
  const auto sent = sandbox->channel.send(AttachRequest{streams.window});
  if (!sent.ok()) {
    return fail(kExitFailed, name + ": " + sent.error().message());
  }
  Foreground foreground(std::move(sandbox->channel), std::move(terminal), streams, signals);
  // The status of what ran is for `run` and `wait` to tell; that this verb did its work is another matter.
  const int status = foreground.run();
  return foreground.failed() ? kExitFailed : foreground.frozen() ? status : kExitDone;
}

}  // namespace beam::runtime
