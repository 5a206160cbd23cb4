// beam ws: the workstations of this home's cluster.
#include <array>
#include <cstdio>

#include "runtime/cluster.h"
#include "runtime/json.h"
#include "runtime/lab.h"
#include "runtime/link.h"
#include "runtime/link_messages.h"
#include "runtime/paths.h"
#include "runtime/sandbox_list.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

constexpr int kPatience = 2'000;

// Without a cluster there is this workstation alone.
Json alone(const RecordStore& store) {
  const Load load = load_here(store);
  return Json::array({Json{{"name", workstation_name()},
                           {"address", nullptr},
                           {"state", "alone"},
                           {"load", load.load},
                           {"sandboxes", load.sandboxes}}});
}

Json list(const Cluster& cluster) {
  Json rows = Json::array();
  for (const Workstation& workstation : cluster.workstations) {
    Json row{{"name", workstation.name}, {"address", workstation.address}, {"state", "down"}};
    row["load"] = nullptr;
    row["sandboxes"] = nullptr;
    auto link = Link::connect(cluster, workstation, kPatience);
    if (link.ok()) {
      if (const auto load = link->ask<Load>(LoadRequest{}); load.ok()) {
        row["state"] = "up";
        row["load"] = load->load;
        row["sandboxes"] = load->sandboxes;
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string cell(const Json& value) {
  if (value.is_null()) {
    return "-";
  }
  if (value.is_number_float()) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f", value.get<double>());
    return text.data();
  }
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

int verb_ws(const std::vector<std::string>& arguments) {
  VerbLine line("ws", "Lists the workstations of this cluster, or of the lab.", "[OPTIONS]", kExitUsage);
  bool json = false;
  line.app().add_flag("--json", json, "One JSON document");
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  auto cluster = Cluster::open(store->home());
  if (!cluster.ok() && cluster.error().code() == ENOENT) {
    if (const auto lab = Lab::open(store->home()); lab.ok()) {
      cluster = Cluster::open(lab->workstations().front().home);
    }
  }
  if (!cluster.ok() && cluster.error().code() != ENOENT) {
    return fail(kExitFailed, cluster.error().message());
  }
  const Json rows = cluster.ok() ? list(*cluster) : alone(*store);
  if (json) {
    return print_document(dump(rows, 2));
  }
  std::string text = "NAME            STATE  LOAD   SANDBOXES  ADDRESS";
  for (const Json& row : rows) {
    std::array<char, 512> each{};
    std::snprintf(each.data(), each.size(), "\n%-14s  %-5s  %-5s  %-9s  %s", cell(row["name"]).c_str(),
                  cell(row["state"]).c_str(), cell(row["load"]).c_str(), cell(row["sandboxes"]).c_str(),
                  cell(row["address"]).c_str());
    text += each.data();
  }
  return print_document(text);
}

}  // namespace beam::runtime
