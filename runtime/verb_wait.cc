// beam wait: the end of a sandbox.
#include "runtime/client.h"
#include "runtime/decision.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

int tell(const std::string& name, int exit_status, const std::string& image) {
  if (!image.empty()) {
    return fail(kExitFrozen, name + " frozen to " + image);
  }
  return exit_status;
}

}  // namespace

int verb_wait(const std::vector<std::string>& arguments) {
  VerbLine line("wait", "Waits for the end of a sandbox and ends with its exit status.", "[OPTIONS] NAME", kExitUsage);
  std::string name;
  line.app().add_option("NAME", name, "The sandbox")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitBeamFailed, store.error().message());
  }
  const auto record = find_sandbox(*store, name);
  if (!record.ok()) {
    return fail_lookup(name, record.error(), kExitBeamFailed, kExitBeamFailed);
  }
  if (auto channel = connect(*store, *record); channel.ok()) {
    if (const auto ended = ask<Ended>(*channel, WaitRequest{}); ended.ok()) {
      return tell(record->name, ended->exit_status, ended->image);
    }
    // The connection may have come too late to be taken: the record says more.
  }
  if (!store->end_of(record->name)) {
    adopt_outgoing(*store, *record);
  }
  if (const auto end = store->end_of(record->name)) {
    return tell(record->name, end->exit_status, end->image);
  }
  return fail(kExitBeamFailed,
              name + ": its supervisor was killed, and the sandbox with it; to clean up: beam rm " + name);
}

}  // namespace beam::runtime
