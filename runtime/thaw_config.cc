#include "runtime/thaw_config.h"

namespace beam::runtime {

void rename(SandboxRecord& record, const std::string& name) {
  if (record.group == record.name) {
    record.group = name;
  }
  record.name = name;
}

RunConfig thaw_config(const SandboxDescription& description, const std::string& image) {
  RunConfig config;
  SandboxRecord& record = config.record;
  record.id = description.id;
  record.name = description.name;
  record.group = description.group;
  record.host_name = description.host_name;
  record.working_directory = description.working_directory;
  record.command = description.command;
  record.network = description.network;
  record.address = description.address;
  record.published = description.published;
  record.terminal = description.terminal;
  config.mounts = description.mounts;
  config.environment = description.environment;
  config.umask = static_cast<mode_t>(description.umask) & 0777;
  config.keep_stdin = description.keep_stdin;
  config.streams.terminal_mask = description.terminal ? description.terminal_mask : std::uint8_t{0};
  config.thaw.emplace();
  config.thaw->image = image;
  config.thaw->consoles = description.consoles;
  config.thaw->root = VirtualPid(description.root);
  config.thaw->target = VirtualPid(description.target);
  config.thaw->stopped = description.stopped;
  return config;
}

}  // namespace beam::runtime
