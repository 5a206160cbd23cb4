// beam ps: the sandboxes of this home.
#include <array>
#include <cstdio>

#include "runtime/client.h"
#include "runtime/json.h"
#include "runtime/launch.h"
#include "runtime/process_view.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

struct Row {
  const SandboxRecord* record = nullptr;
  std::string state;
  std::size_t pids = 0;
  std::int64_t uptime_s = 0;
  std::uint64_t memory_bytes = 0;
};

// A supervisor that doesn't answer for so long is shown without what only it knows.
constexpr int kPatienceMs = 5000;

Row describe(const RecordStore& store, const SandboxRecord& record) {
  Row row;
  row.record = &record;
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

std::string human_time(std::int64_t seconds) {
  std::array<char, 32> text{};
  if (seconds < 60) {
    std::snprintf(text.data(), text.size(), "%llds", static_cast<long long>(seconds));
  } else if (seconds < 3600) {
    std::snprintf(text.data(), text.size(), "%lldm%02llds", static_cast<long long>(seconds / 60),
                  static_cast<long long>(seconds % 60));
  } else if (seconds < 86400) {
    std::snprintf(text.data(), text.size(), "%lldh%02lldm", static_cast<long long>(seconds / 3600),
                  static_cast<long long>(seconds / 60 % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%lldd%02lldh", static_cast<long long>(seconds / 86400),
                  static_cast<long long>(seconds / 3600 % 24));
  }
  return text.data();
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f%s" : "%.1f%s", value, kUnits[unit]);
  return text.data();
}

int print_table(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> cells = {
      {"NAME", "GROUP", "STATE", "WORKSTATION", "PIDS", "UPTIME", "MEMORY", "COMMAND"}};
  for (const Row& row : rows) {
    const SandboxRecord& record = *row.record;
    cells.push_back({record.name, record.group, row.state, record.workstation, std::to_string(row.pids),
                     human_time(row.uptime_s), human_size(row.memory_bytes), quote_command(record.command)});
  }
  std::vector<std::size_t> widths(cells.front().size(), 0);
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      widths[i] = std::max(widths[i], line[i].size());
    }
  }
  std::string text;
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) {
        text.append(widths[i] - line[i].size() + 2, ' ');
      }
    }
    text += '\n';
  }
  text.pop_back();
  return print_document(text);
}

}  // namespace

int verb_ps(const std::vector<std::string>& arguments) {
  VerbLine line("ps", "Lists sandboxes: those that have not ended, or all.", "[OPTIONS]", kExitUsage);
  bool all = false;
  bool json = false;
  line.app().add_flag("-a,--all", all, "Also those that have ended");
  line.app().add_flag("--json", json, "One JSON document");
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto records = store->all();
  std::vector<Row> rows;
  for (const auto& record : records) {
    Row row = describe(*store, record);
    if (all || row.state != "exited") {
      rows.push_back(std::move(row));
    }
  }
  if (!json) {
    return print_table(rows);
  }
  Json document = Json::array();
  for (const Row& row : rows) {
    document.push_back({{"name", row.record->name},
                        {"group", row.record->group},
                        {"state", row.state},
                        {"workstation", row.record->workstation},
                        {"address", row.record->address.empty() ? Json() : Json(row.record->address)},
                        {"pids", row.pids},
                        {"uptime_s", row.uptime_s},
                        {"memory_bytes", row.memory_bytes},
                        {"command", quote_command(row.record->command)}});
  }
  return print_document(dump(document, 2));
}

}  // namespace beam::runtime
