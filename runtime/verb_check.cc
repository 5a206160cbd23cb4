// beam check: what in a sandbox could not be frozen.
#include "runtime/client.h"
#include "runtime/json.h"
#include "runtime/obstacles.h"
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
  const auto found = ask<Obstacles>(*channel, CheckRequest{});
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
    text = record->name + ": can be frozen";
  } else {
    for (const auto& obstacle : found->entries) {
      text += (text.empty() ? "" : "\n") + describe(record->name, obstacle);
    }
  }
  const int printed = print_document(text);
  return printed != kExitDone ? printed : freezable ? kExitDone : kExitNotFreezable;
}

}  // namespace beam::runtime
