// The table of verbs, in the order in which `beam --help` lists them.
#include <array>

#include "runtime/verb.h"

namespace beam::runtime {
namespace {

constexpr std::array kVerbs = {
    Verb{"run", "Run a command in a new sandbox", verb_run},
    Verb{"version", "Print the version", verb_version},
};

}  // namespace

std::span<const Verb> verbs() {
  return kVerbs;
}

}  // namespace beam::runtime
