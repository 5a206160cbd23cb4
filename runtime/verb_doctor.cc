// beam doctor: what this workstation offers, and what that costs.
#include <array>
#include <cstdio>

#include "interpose/syscall_table.h"
#include "rootfs/secrets.h"
#include "runtime/features.h"
#include "runtime/json.h"
#include "runtime/paths.h"
#include "runtime/record.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

const char* strategy_name(interpose::Strategy strategy) {
  switch (strategy) {
    case interpose::Strategy::kAllow:
      return "allow";
    case interpose::Strategy::kAnswer:
      return "answer";
    case interpose::Strategy::kAnswerAtStop:
      return "stop";
    case interpose::Strategy::kRewrite:
      return "rewrite";
    case interpose::Strategy::kDeny:
      return "deny";
  }
  return "?";
}

const char* support_name(interpose::Support support) {
  switch (support) {
    case interpose::Support::kFull:
      return "full";
    case interpose::Support::kPartial:
      return "partial";
    case interpose::Support::kRefused:
      return "refused";
  }
  return "?";
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

int print_syscalls(bool json) {
  const auto calls = interpose::SyscallTable::instance().all();
  if (json) {
    Json document = Json::array();
    for (const auto* call : calls) {
      document.push_back({{"number", call->number},
                          {"name", call->name},
                          {"strategy", strategy_name(call->strategy)},
                          {"support", support_name(call->support)},
                          {"note", call->note}});
    }
    return print_document(dump(document, 2));
  }
  std::string text = "NUMBER NAME                     STRATEGY SUPPORT  NOTE\n";
  for (const auto* call : calls) {
    std::string line = padded(std::to_string(call->number), 7) + padded(call->name, 25) +
                       padded(strategy_name(call->strategy), 9) + padded(support_name(call->support), 9) + call->note;
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  text.pop_back();
  return print_document(text);
}

std::string limit_text(std::uint64_t value) {
  return value == UINT64_MAX ? "unlimited" : std::to_string(value);
}

// What is wrong with the directories, or empty.
std::string directory_problem() {
  const auto store = RecordStore::open();
  return store.ok() ? std::string() : store.error().message();
}

Json to_json(const std::vector<Feature>& features, const std::vector<Limit>& limits, const CallCosts& costs,
             bool usable, const std::string& problem) {
  Json document{{"version", BEAM_VERSION}, {"usable", usable}, {"workstation", workstation_name()}};
  const auto home = home_path();
  document["home"] = home.ok() ? Json(*home) : Json(nullptr);
  document["problem"] = problem.empty() ? Json(nullptr) : Json(problem);
  document["features"] = Json::array();
  for (const auto& feature : features) {
    document["features"].push_back({{"name", feature.name},
                                    {"available", feature.available},
                                    {"needed", feature.needed},
                                    {"detail", feature.detail},
                                    {"otherwise", feature.otherwise}});
  }
  document["limits"] = Json::array();
  for (const auto& limit : limits) {
    document["limits"].push_back({{"name", limit.name},
                                  {"value", limit.value == UINT64_MAX ? Json(nullptr) : Json(limit.value)},
                                  {"meaning", limit.meaning}});
  }
  document["hidden"] = Json::array();
  for (const auto place : rootfs::secret_places()) {
    document["hidden"].push_back("~/" + std::string(place));
  }
  document["cost_ns"] = {
      {"native_call", costs.native}, {"answered_call", costs.notification}, {"traced_call", costs.trace_stop}};
  return document;
}

std::string to_text(const std::vector<Feature>& features, const std::vector<Limit>& limits, const CallCosts& costs,
                    bool usable, const std::string& problem) {
  std::string text = "Kernel features\n";
  for (const auto& feature : features) {
    text += padded(feature.available ? "  yes" : feature.needed ? "  NO" : "  no", 7) + padded(feature.name, 29);
    text += feature.available ? feature.detail : feature.otherwise;
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  text += "\nLimits\n";
  for (const auto& limit : limits) {
    text += "  " + padded(limit.name, 18) + padded(limit_text(limit.value), 16) + limit.meaning + "\n";
  }
  text += "\nWhat a system call costs here, at least, in nanoseconds\n";
  const auto cost = [&text](const char* what, std::uint64_t value) {
    text += "  " + padded(what, 34) + (value == 0 ? "can't be measured" : std::to_string(value)) + "\n";
  };
  cost("native", costs.native);
  cost("answered (most calls with a path)", costs.notification);
  cost("traced (fork, exec, wait, kill)", costs.trace_stop);
  text += "\nHidden from a mount view, unless shown by `beam run --show`\n";
  std::string line = " ";
  for (const auto place : rootfs::secret_places()) {
    constexpr std::size_t kWidth = 110;
    if (line.size() + place.size() > kWidth) {
      text += line + "\n";
      line = " ";
    }
    line += " ~/" + std::string(place);
  }
  text += line + "\n";
  text += usable ? "\nBeam runs here." : "\nBeam can't run here.";
  if (!problem.empty()) {
    text += "\n" + problem;
  }
  return text;
}

}  // namespace

int verb_doctor(const std::vector<std::string>& arguments) {
  VerbLine line("doctor", "Says what this workstation offers and what that costs.", "[OPTIONS]", kExitUsage);
  bool json = false;
  bool syscalls = false;
  line.app().add_flag("--json", json, "One JSON document");
  line.app().add_flag("--syscalls", syscalls, "Print what is done with each system call instead");
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (syscalls) {
    return print_syscalls(json);
  }
  const auto features = probe_features();
  const auto limits = probe_limits();
  const CallCosts costs = measure_calls();
  const std::string problem = directory_problem();
  bool usable = problem.empty();
  for (const auto& feature : features) {
    usable = usable && (feature.available || !feature.needed);
  }
  const int printed = print_document(json ? dump(to_json(features, limits, costs, usable, problem), 2)
                                          : to_text(features, limits, costs, usable, problem));
  return printed == kExitDone && !usable ? kExitFailed : printed;
}

}  // namespace beam::runtime
