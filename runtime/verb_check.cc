// beam check: what in a sandbox could not be frozen.
#include "runtime/client.h"
#include "runtime/json.h"
#include "runtime/obstacles.h"
#include "runtime/reach.h"
#include "runtime/verb.h"

namespace beam::runtime {

int verb_check(const std::vector<std::string>& arguments) {
  VerbLine line("check", "Says what in a sandbox could not be frozen. Nothing is changed.", "[OPTIONS] NAME",
                kExitUsage);
  bool json = false;
  std::string name;
  line.app().add_flag("--json", json, "One JSON document");
  line.app().add_option("NAME", name, "The sandbox")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  int failure = kExitDone;
  auto sandbox = reach(name, failure);
  if (!sandbox) {
    return failure;
  }
  const auto found = ask<Obstacles>(sandbox->channel, CheckRequest{});
  if (!found.ok()) {
    return fail(kExitFailed, found.error().message());
  }
  const bool freezable = found->entries.empty();
  std::string text;
  if (json) {
    Json list = Json::array();
    for (const auto& obstacle : found->entries) {
      list.push_back({{"vpid", obstacle.vpid}, {"object", obstacle.object}, {"reason", obstacle.reason}});
    }
    text = dump(Json{{"freezable", freezable}, {"obstacles", std::move(list)}}, 2);
  } else if (freezable) {
    text = sandbox->record.name + ": can be frozen";
  } else {
    for (const auto& obstacle : found->entries) {
      text += (text.empty() ? "" : "\n") + describe(sandbox->record.name, obstacle);
    }
  }
  const int printed = print_document(text);
  return printed != kExitDone ? printed : freezable ? kExitDone : kExitNotFreezable;
}

}  // namespace beam::runtime
