#include "runtime/description.h"

#include "runtime/sandbox_name.h"

namespace beam::runtime {

Result<SandboxDescription> describe(const migrate::Image& image) {
  auto description = migrate::decode<SandboxDescription>(image.manifest().sandbox);
  if (!description.ok()) {
    return std::move(description).error().context("image " + image.directory() + ": description of the sandbox");
  }
  // The name becomes a file name.
  if (!valid_name(description->name) || !valid_name(description->group) || description->command.empty() ||
      (description->terminal && description->consoles.empty())) {
    return Error(migrate::kDamaged, "image " + image.directory() + ": it has no valid name or command");
  }
  return description;
}

}  // namespace beam::runtime
