// beam migrate: a running sandbox to another workstation.
#include "runtime/reach.h"
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
  int failure = kExitDone;
  auto sandbox = reach(name, failure);
  if (!sandbox) {
    return failure;
  }
  auto sent = sandbox->channel.send(request);
  if (sent.ok()) {
    sent = sandbox->channel.flush_all();
  }
  const auto frame = sent.ok() ? sandbox->channel.receive() : Result<Frame>(sent.error());
  if (!frame.ok()) {
    return fail(kExitFailed, sandbox->record.name + ": " + frame.error().message());
  }
  if (const auto obstacles = frame->as<Obstacles>(); obstacles.ok()) {
    return refuse(sandbox->record.name, *obstacles);
  }
  if (const auto failure = frame->as<Failed>(); failure.ok()) {
    return fail(failure->exit_status == kExitNoSuch ? kExitNoSuch : kExitFailed, failure->message);
  }
  const auto moved = frame->as<Done>();
  return moved.ok() ? kExitDone : fail(kExitFailed, sandbox->record.name + ": " + moved.error().message());
}

}  // namespace beam::runtime
