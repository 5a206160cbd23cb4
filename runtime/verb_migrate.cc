// beam migrate: a running sandbox to another workstation.
#include "runtime/client.h"
#include "runtime/verb.h"

namespace beam::runtime {

int verb_migrate(const std::vector<std::string>& arguments) {
  VerbLine line("migrate", "Moves a running sandbox to another workstation of the cluster.",
                "[OPTIONS] NAME WORKSTATION", kExitUsage);
  std::string name;
  MigrateRequest request;
  line.app().add_option("NAME", name, "The sandbox")->required();
  line.app().add_option("WORKSTATION", request.workstation, "Where it is to go on; see beam ws")->required();
  line.app().add_flag("--pre-copy", request.pre_copy, "Carry most of it over while it runs, for a shorter stop");
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
  auto sent = channel->send(request);
  if (sent.ok()) {
    sent = channel->flush_all();
  }
  const auto frame = sent.ok() ? channel->receive() : Result<Frame>(sent.error());
  if (!frame.ok()) {
    return fail(kExitFailed, record->name + ": " + frame.error().message());
  }
  if (const auto obstacles = frame->as<Obstacles>(); obstacles.ok()) {
    return refuse(record->name, *obstacles);
  }
  if (const auto failure = frame->as<Failed>(); failure.ok()) {
    return fail(failure->exit_status == kExitNoSuch ? kExitNoSuch : kExitFailed, failure->message);
  }
  const auto moved = frame->as<Done>();
  return moved.ok() ? kExitDone : fail(kExitFailed, record->name + ": " + moved.error().message());
}

}  // namespace beam::runtime
