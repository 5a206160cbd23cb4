// beam ps: the sandboxes of this home and, in a cluster, of its other workstations.
#include <array>
#include <cstdio>

#include "runtime/elsewhere.h"
#include "runtime/sandbox_list.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

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

int print_table(const Json& rows) {
  std::vector<std::vector<std::string>> cells = {
      {"NAME", "GROUP", "STATE", "WORKSTATION", "PIDS", "UPTIME", "MEMORY", "COMMAND"}};
  for (const Json& row : rows) {
    cells.push_back({row.at("name"), row.at("group"), row.at("state"), row.at("workstation"),
                     std::to_string(row.at("pids").get<std::uint64_t>()), human_time(row.at("uptime_s")),
                     human_size(row.at("memory_bytes")), row.at("command")});
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
  Json rows = list_sandboxes(*store, all);
  for (Json& row : list_elsewhere(store->home(), all)) {
    rows.push_back(std::move(row));
  }
  return json ? print_document(dump(rows, 2)) : print_table(rows);
}

}  // namespace beam::runtime
