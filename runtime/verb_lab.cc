// beam lab: workstations on this machine, for testing migration.
#include <unistd.h>

#include "runtime/json.h"
#include "runtime/lab.h"
#include "runtime/launch.h"
#include "runtime/paths.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

constexpr unsigned kDefaultCount = 3;
constexpr unsigned kMostWorkstations = 64;

Result<Lab> open_lab() {
  BEAM_TRY_ASSIGN(const std::string home, home_path());
  auto lab = Lab::open(home);
  if (!lab.ok() && lab.error().code() == ENOENT) {
    return Error(ENOENT, "there is no lab").remedy("make one with: beam lab up");
  }
  return lab;
}

int fail_lab(const Error& error) {
  return fail(error.code() == ENOENT ? kExitNoSuch : kExitFailed,
              error.code() == ENOENT ? "there is no lab; make one with: beam lab up" : error.message());
}

int up(const std::vector<std::string>& arguments) {
  VerbLine line("lab up", "Starts N workstations on this machine (default 3).", "[OPTIONS] [N]", kExitUsage);
  unsigned count = kDefaultCount;
  line.app().add_option("N", count, "How many")->check(CLI::Range(1U, kMostWorkstations));
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::create();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto lab = Lab::make(store->home(), count);
  if (!lab.ok()) {
    return fail(kExitFailed, lab.error().code() == EEXIST
                                 ? store->home() + ": there is a lab already; see: beam lab ls, beam lab down"
                                 : lab.error().message());
  }
  return kExitDone;
}

int down(const std::vector<std::string>& arguments) {
  VerbLine line("lab down", "Ends the lab with everything in it.", "[OPTIONS]", kExitUsage);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto lab = open_lab();
  if (!lab.ok()) {
    return fail_lab(lab.error());
  }
  const auto taken = lab->take_down();
  return taken.ok() ? kExitDone : fail(kExitFailed, taken.error().message());
}

int list(const std::vector<std::string>& arguments) {
  VerbLine line("lab ls", "Lists the lab's workstations.", "[OPTIONS]", kExitUsage);
  bool json = false;
  line.app().add_flag("--json", json, "One JSON document");
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto lab = open_lab();
  if (!lab.ok()) {
    return fail_lab(lab.error());
  }
  Json rows = Json::array();
  std::string text;
  for (const LabWorkstation& workstation : lab->workstations()) {
    rows.push_back({{"name", workstation.name}, {"address", workstation.address}, {"home", workstation.home}});
    text += (text.empty() ? "" : "\n") + workstation.name + "  " + workstation.address + "  " + workstation.home;
  }
  return print_document(json ? dump(rows, 2) : text);
}

int execute(const std::vector<std::string>& arguments) {
  VerbLine line("lab exec", "Runs COMMAND in the environment of a workstation.", "[OPTIONS] WS [--] COMMAND [ARG...]",
                kExitBeamFailed);
  std::string name;
  line.app().add_option("WS", name, "The workstation")->required();
  line.takes_command(1);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (line.command().empty()) {
    return line.wrong_usage("no command given");
  }
  const auto lab = open_lab();
  if (!lab.ok()) {
    return fail_lab(lab.error());
  }
  const LabWorkstation* workstation = lab->find(name);
  if (workstation == nullptr) {
    return fail(kExitNoSuch, name + ": no such workstation; see: beam lab ls");
  }
  enter(*workstation);
  std::vector<std::string> words = line.command();
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  // This very program, also where it is not on the path.
  const auto own = words.front() == "beam" ? helper_path("beam") : Result<std::string>(Error(ENOENT, "beam"));
  if (own.ok()) {
    ::execv(own->c_str(), argv.data());
  } else {
    ::execvp(argv[0], argv.data());
  }
  const int code = errno;
  return fail(launch_failure_status(code), launch_failure_message(words.front(), code));
}

}  // namespace

int verb_lab(const std::vector<std::string>& arguments) {
  const std::string word = arguments.empty() ? "" : arguments.front();
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (word == "up") {
    return up(rest);
  }
  if (word == "down") {
    return down(rest);
  }
  if (word == "ls") {
    return list(rest);
  }
  if (word == "exec") {
    return execute(rest);
  }
  VerbLine line("lab", "Workstations on this machine, to test migration: up [N], down, ls, exec WS -- COMMAND.",
                "up [N] | down | ls | exec WS -- COMMAND...", kExitUsage);
  if (const auto done = line.parse(word == "--help" || word == "-h" ? arguments : std::vector<std::string>())) {
    return *done;
  }
  return line.wrong_usage(word.empty() ? "use up, down, ls or exec" : "'" + word + "': use up, down, ls or exec");
}

}  // namespace beam::runtime
