// beam attach: the terminal of a sandbox that has one.
#include "runtime/client.h"
#include "runtime/foreground.h"
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
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto record = find_sandbox(*store, name);
  if (!record.ok()) {
    return fail_lookup(name, record.error());
  }
  auto channel = connect(*store, *record);
  if (!channel.ok()) {
    return fail_connect(name, channel.error());
  }
  const SignalBlock signals;
  auto terminal = Terminal::find();
  const StreamSetup streams = plan_streams(terminal, true);
  const auto sent = channel->send(AttachRequest{streams.window});
  if (!sent.ok()) {
    return fail(kExitFailed, name + ": " + sent.error().message());
  }
  Foreground foreground(std::move(channel).value(), std::move(terminal), streams, signals);
  // The status of what ran is for `run` and `wait` to tell; that this verb did its work is another matter.
  const int status = foreground.run();
  return foreground.failed() ? kExitFailed : foreground.frozen() ? status : kExitDone;
}

}  // namespace beam::runtime
