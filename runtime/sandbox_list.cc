#include "runtime/sandbox_list.h"

#include <cstdlib>

#include "runtime/client.h"
#include "runtime/decision.h"
#include "runtime/launch.h"
#include "runtime/process_view.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

struct Row {
  std::string state;
  std::size_t pids = 0;
  std::int64_t uptime_s = 0;
  std::uint64_t memory_bytes = 0;
};

// A supervisor that doesn't answer for so long is shown without what only it knows.
constexpr int kPatienceMs = 5000;

Row describe(const RecordStore& store, const SandboxRecord& record) {
  Row row;
  if (!store.running(record) && !store.end_of(record.name)) {
    adopt_outgoing(store, record);
  }
  const auto end = store.end_of(record.name);
  row.state = end.has_value() && !end->image.empty() ? "frozen" : "exited";
  row.uptime_s = end.has_value() ? (end->ended_ms - record.created_ms) / 1000 : 0;
  auto channel = connect(store, record);
  if (!channel.ok()) {
    return row;
  }
  row.state = "running";
  row.uptime_s = (now_ms() - record.created_ms) / 1000;
  channel->set_patience(kPatienceMs);
  const auto status = ask<Status>(*channel, QueryRequest{});
  if (!status.ok()) {
    say(record.name + ": " + status.error().message());
    return row;
  }
  if (status->stopped) {
    row.state = "stopped";
  }
  row.pids = status->processes.size();
  for (const auto& process : status->processes) {
    row.memory_bytes += memory_of(process.host_pid);
  }
  return row;
}

}  // namespace

Json list_sandboxes(const RecordStore& store, bool all) {
  Json document = Json::array();
  for (const SandboxRecord& record : store.all()) {
    const Row row = describe(store, record);
    if (!store.load(record.name).ok()) {
      continue;  // it has moved away
    }
    if (!all && row.state == "exited") {
      continue;
    }
    document.push_back({{"name", record.name},
                        {"group", record.group},
                        {"state", row.state},
                        {"workstation", record.workstation},
                        {"address", record.address.empty() ? Json() : Json(record.address)},
                        {"pids", row.pids},
                        {"uptime_s", row.uptime_s},
                        {"memory_bytes", row.memory_bytes},
                        {"command", quote_command(record.command)}});
  }
  return document;
}

Load load_here(const RecordStore& store) {
  Load load;
  if (::getloadavg(&load.load, 1) != 1) {
    load.load = 0;
  }
  for (const SandboxRecord& record : store.all()) {
    load.sandboxes += store.running(record) ? 1U : 0U;
  }
  return load;
}

}  // namespace beam::runtime
