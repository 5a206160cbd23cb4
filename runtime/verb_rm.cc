// beam rm, beam prune: records of sandboxes that have ended.
#include <unistd.h>

#include "runtime/client.h"
#include "runtime/file_io.h"
#include "runtime/local_socket.h"
#include "runtime/sandbox_name.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

// Ends a running sandbox and waits for that.
Result<> stop(const RecordStore& store, const SandboxRecord& record) {
  auto channel = connect(store, record);
  if (!channel.ok()) {
    return channel.error().code() == ESRCH ? success() : Result<>(std::move(channel).error());
  }
  const auto ended = ask<Ended>(*channel, StopRequest{});
  if (!ended.ok() && store.running(record)) {
    return ended.error();
  }
  return success();
}

Result<> remove(const RecordStore& store, const SandboxRecord& record) {
  unlink_socket(record.socket);
  auto removed = store.remove(record.name);
  // With --rm its supervisor did it.
  if (!removed.ok() && removed.error().code() == ENOENT) {
    return success();
  }
  return removed;
}

}  // namespace

int verb_rm(const std::vector<std::string>& arguments) {
  VerbLine line("rm", "Removes sandboxes that have ended, with their logs.", "[OPTIONS] NAME...", kExitUsage);
  bool force = false;
  std::vector<std::string> names;
  line.app().add_flag("-f,--force", force, "End those that still run");
  line.app().add_option("NAME", names, "The sandboxes, or @GROUP")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  // All of them are looked at before the first is touched.
  std::vector<SandboxRecord> records;
  std::vector<std::string> damaged;
  for (const auto& name : names) {
    auto found = find_sandboxes(*store, name);
    if (!found.ok()) {
      if (found.error().code() == ENOENT || !force || !valid_name(name)) {
        return fail_lookup(name, found.error());
      }
      damaged.push_back(name);
      continue;
    }
    for (auto& record : *found) {
      if (!force && store->running(record)) {
        return fail(kExitFailed, record.name + ": is running; end it first, or remove it with -f");
      }
      records.push_back(std::move(record));
    }
  }
  int status = kExitDone;
  for (const auto& record : records) {
    auto result = force ? stop(*store, record) : success();
    if (result.ok()) {
      result = remove(*store, record);
    }
    if (!result.ok()) {
      status = fail(kExitFailed, result.error().message());
    }
  }
  for (const auto& name : damaged) {
    if (const auto result = store->remove(name); !result.ok()) {
      status = fail(kExitFailed, result.error().message());
    }
  }
  return status;
}

int verb_prune(const std::vector<std::string>& arguments) {
  VerbLine line("prune", "Removes all sandboxes that have ended, and what killed ones left behind; prints their names.",
                "[OPTIONS]", kExitUsage);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  int status = kExitDone;
  for (const auto& record : store->all()) {
    const auto end = store->end_of(record.name);
    if (store->running(record) || (end && !end->image.empty())) {
      continue;
    }
    if (const auto result = remove(*store, record); !result.ok()) {
      status = fail(kExitFailed, result.error().message());
    } else if (!write_all(STDOUT_FILENO, record.name + "\n").ok()) {
      status = kExitFailed;
    }
  }
  store->sweep();
  return status;
}

}  // namespace beam::runtime
