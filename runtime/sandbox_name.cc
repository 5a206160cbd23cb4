#include "runtime/sandbox_name.h"

#include <sys/random.h>

#include <array>
#include <cstdint>

namespace beam::runtime {
namespace {

constexpr std::size_t kLongest = 63;

constexpr std::array<std::string_view, 64> kAdjectives = {
    "amber",   "bold",   "brave", "brief",  "bright", "brisk",  "calm",   "clear",  "clever", "cool",   "coral",
    "crisp",   "dapper", "deep",  "eager",  "early",  "fair",   "fleet",  "fond",   "frank",  "fresh",  "gentle",
    "glad",    "golden", "grand", "green",  "happy",  "hardy",  "honest", "humble", "ivory",  "jolly",  "keen",
    "kind",    "lively", "loyal", "lucid",  "lucky",  "mellow", "merry",  "mild",   "neat",   "nimble", "noble",
    "patient", "placid", "plain", "polite", "proud",  "quick",  "quiet",  "rapid",  "ready",  "serene", "sharp",
    "silver",  "sober",  "solid", "spry",   "steady", "sunny",  "swift",  "vivid",  "witty"};

constexpr std::array<std::string_view, 64> kNouns = {
    "alder",  "aspen",  "badger", "beech",   "birch",  "bison",  "brook",  "cedar",   "cliff",  "cloud",  "comet",
    "condor", "crane",  "delta",  "dune",    "eagle",  "egret",  "elm",    "ember",   "falcon", "fern",   "finch",
    "fjord",  "fox",    "garnet", "glade",   "grove",  "harbor", "hare",   "hawk",    "hazel",  "heron",  "ibex",
    "iris",   "island", "jay",    "juniper", "lark",   "lemur",  "linden", "lynx",    "maple",  "marten", "meadow",
    "mesa",   "moose",  "oak",    "orchid",  "osprey", "otter",  "owl",    "pebble",  "pine",   "plover", "quartz",
    "raven",  "reef",   "river",  "robin",   "spruce", "stork",  "swan",   "thistle", "willow"};

bool alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > kLongest || !alphanumeric(name.front())) {
    return false;
  }
  for (const char c : name) {
    if (!alphanumeric(c) && c != '_' && c != '.' && c != '-') {
      return false;
    }
  }
  return true;
}

Result<> check_name(std::string_view noun, std::string_view name) {
  if (valid_name(name)) {
    return success();
  }
  // The name is quoted without what could disturb a terminal.
  std::string shown;
  for (const char c : name.substr(0, kLongest + 1)) {
    shown += (c >= ' ' && c < 0x7f) ? c : '?';
  }
  return Error(0, "'" + shown + "': is no valid " + std::string(noun) +
                      " name; use up to 63 letters, digits, '_', '.' and '-', a letter or digit first");
}

std::string generate_name(unsigned attempt) {
  std::uint32_t random = 0;
  // GRND_INSECURE never blocks at boot; a name needs no more than variety.
  if (::getrandom(&random, sizeof random, GRND_INSECURE) != static_cast<ssize_t>(sizeof random)) {
    random = attempt * 2654435761U;
  }
  std::string name(kAdjectives[random % kAdjectives.size()]);
  name += '-';
  name += kNouns[(random >> 8) % kNouns.size()];
  if (attempt > 3) {
    name += '-' + std::to_string((random >> 16) % 1000);
  }
  return name;
}

}  // namespace beam::runtime
