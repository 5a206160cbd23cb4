// beam version
#include "runtime/verb.h"

namespace beam::runtime {

int verb_version(const std::vector<std::string>& arguments) {
  VerbLine line("version", "Prints the version.", "[OPTIONS]", kExitUsage);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  return print_document("beam " BEAM_VERSION);
}

}  // namespace beam::runtime
