// beam tree: the processes of a sandbox with virtual and host pids.
#include <algorithm>
#include <map>

#include "runtime/client.h"
#include "runtime/json.h"
#include "runtime/process_view.h"
#include "runtime/reach.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

using Children = std::map<std::int32_t, std::vector<const ProcessStatus*>>;

constexpr int kPatienceMs = 5000;

// Whose child a process shows as. What `exec` brought in has no parent inside; it stands below PID 1, so that there is
// one tree.
Children sort_by_parent(const Status& status) {
  Children children;
  const auto known = [&status](std::int32_t vpid) {
    return std::any_of(status.processes.begin(), status.processes.end(),
                       [vpid](const ProcessStatus& process) { return process.vpid == vpid; });
  };
  const bool has_first = known(1);
  for (const auto& process : status.processes) {
    std::int32_t parent = process.parent;
    if (process.vpid != 1 && has_first && !known(parent)) {
      parent = 1;
    }
    children[parent].push_back(&process);
  }
  for (auto& [parent, list] : children) {
    std::sort(list.begin(), list.end(), [](const auto* a, const auto* b) { return a->vpid < b->vpid; });
  }
  return children;
}

Json to_json(const ProcessStatus& process, const Children& children) {
  Json below = Json::array();
  if (const auto found = children.find(process.vpid); found != children.end()) {
    for (const auto* child : found->second) {
      below.push_back(to_json(*child, children));
    }
  }
  auto tids = process.vtids;
  std::sort(tids.begin(), tids.end());
  return Json{{"vpid", process.vpid},
              {"pid", process.host_pid},
              {"tids", tids},
              {"command", command_of(process.host_pid)},
              {"children", std::move(below)}};
}

std::string column(std::int32_t number) {
  std::string text = std::to_string(number);
  text.insert(0, text.size() < 7 ? 7 - text.size() : 0, ' ');
  return text;
}

void print(const ProcessStatus& process, const Children& children, const std::string& indent, bool last,
           std::string& text) {
  const bool root = indent.empty() && process.vpid == 1;
  text += column(process.vpid) + " " + column(process.host_pid) + "  " + indent + (root ? "" : last ? "`- " : "|- ");
  text += command_of(process.host_pid);
  if (process.vtids.size() > 1) {
    text += " (" + std::to_string(process.vtids.size()) + " threads)";
  }
  text += '\n';
  const auto found = children.find(process.vpid);
  if (found == children.end()) {
    return;
  }
  const std::string deeper = indent + (root ? " " : last ? "   " : "|  ");
  for (const auto* child : found->second) {
    print(*child, children, deeper, child == found->second.back(), text);
  }
}

}  // namespace

int verb_tree(const std::vector<std::string>& arguments) {
  VerbLine line("tree", "Shows a sandbox's processes with virtual and host pids.", "[OPTIONS] NAME", kExitUsage);
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
  sandbox->channel.set_patience(kPatienceMs);
  const auto status = ask<Status>(sandbox->channel, QueryRequest{});
  if (!status.ok()) {
    return fail(kExitFailed, name + ": " + status.error().message());
  }
  const Children children = sort_by_parent(*status);
  const auto roots = children.find(0);
  if (roots == children.end()) {
    return fail(kExitFailed, name + ": has no process any more; see: beam ps -a");
  }
  if (json) {
    return print_document(dump(to_json(*roots->second.front(), children), 2));
  }
  std::string text = "   VPID     PID  COMMAND\n";
  for (const auto* root : roots->second) {
    print(*root, children, "", root == roots->second.back(), text);
  }
  text.pop_back();
  return print_document(text);
}

}  // namespace beam::runtime
