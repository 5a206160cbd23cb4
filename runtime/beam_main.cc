// The program `beam`: finds the verb and hands the rest of the command line to it. Called as `beamd` it is the daemon
// of a workstation.
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "runtime/daemon.h"
#include "runtime/file_io.h"
#include "runtime/paths.h"
#include "runtime/verb.h"

namespace {

using namespace beam::runtime;

int print_help() {
  std::string text =
      "Usage: beam VERB [OPTIONS] [ARGUMENTS]\n\nRuns unmodified programs in sandboxes that can move.\n\nVerbs:\n";
  for (const Verb& verb : verbs()) {
    std::string name = std::string("  ") + verb.name;
    name.resize(14, ' ');
    text += name + verb.summary + "\n";
  }
  text += "\nOptions of every verb: --help, -q, -v, --log-level LEVEL. See `beam VERB --help`.\n";
  return write_all(STDOUT_FILENO, text).ok() ? kExitDone : kExitFailed;
}

int run_as_daemon(const std::vector<std::string>& arguments) {
  VerbLine line("daemon", "Takes in sandboxes that move to this workstation.", "[OPTIONS]", kExitUsage);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto home = home_path();
  if (!home.ok()) {
    return fail(kExitFailed, home.error().message());
  }
  const auto ran = run_daemon(*home);
  return ran.ok() ? kExitDone : fail(kExitFailed, ran.error().message());
}

// A stream that the caller closed must not become the number of a descriptor that Beam opens for itself.
void open_closed_streams() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  open_closed_streams();
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const std::string_view called = argc > 0 ? argv[0] : "";
  if (called.substr(called.rfind('/') + 1) == "beamd") {
    return run_as_daemon(words);
  }
  // Options of every verb may stand before it as well.
  std::vector<std::string> options;
  std::size_t at = 0;
  while (at < words.size() && words[at].size() > 1 && words[at].front() == '-') {
    const std::string& word = words[at];
    if (word == "--help" || word == "-h") {
      return print_help();
    }
    if (word == "--version") {
      return verb_version({});
    }
    const bool with_value = word == "--log-level";
    if (word != "-q" && word != "--quiet" && word != "-v" && word != "--verbose" && !with_value &&
        !word.starts_with("--log-level=")) {
      return fail(kExitUsage, word + ": unknown option; see: beam --help");
    }
    options.push_back(word);
    ++at;
    if (with_value && at < words.size()) {
      options.push_back(words[at++]);
    }
  }
  if (at == words.size()) {
    return fail(kExitUsage, "no verb given; see: beam --help");
  }
  if (words[at] == "help") {
    return print_help();
  }
  for (const Verb& verb : verbs()) {
    if (words[at] == verb.name) {
      options.insert(options.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
      return verb.main(options);
    }
  }
  return fail(kExitUsage, words[at] + ": unknown verb; see: beam --help");
}
