// What an image says of the sandbox that it is of, beside its processes (Manifest.sandbox): what a thaw needs to
// supervise it as the `beam run` that it came from did.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/image.h"
#include "rootfs/mount_plan.h"
#include "runtime/console_state.h"

namespace beam::runtime {

struct SandboxDescription {
  std::string id;
  std::string name;
  std::string group;
  std::string host_name;
  std::string working_directory;
  std::vector<std::string> command;
  std::vector<std::string> environment;  // of COMMAND, which `beam exec` starts from
  std::uint32_t umask = 022;
  bool keep_stdin = false;
  bool terminal = false;
  std::int32_t root = 0;           // the process whose end is the end of the sandbox
  std::int32_t target = 0;         // COMMAND
  bool stopped = false;            // COMMAND was stopped, as by SIGTSTP
  std::uint8_t terminal_mask = 0;  // bit n: COMMAND's descriptor n was its terminal
  // COMMAND's own first, if it has one; then those of processes that were executed later.
  std::vector<ConsoleState> consoles;
  std::string network = "host";  // as `beam run --net` says it; of older images the workstation's
  std::string address;
  std::optional<rootfs::MountOptions> mounts;  // of the mount view; none: paths are the workstation's
  std::vector<std::string> published;          // as `beam run --publish` was given them
};

// kDamaged: the image doesn't say.
[[nodiscard]] Result<SandboxDescription> describe(const migrate::Image& image);

}  // namespace beam::runtime

namespace beam::migrate {

BEAM_STATE(rootfs::MountOptions, 1, writable, binds, tmpfs, hidden, shown, home, directory, own)
BEAM_STATE_SINCE(runtime::SandboxDescription, published, 4)
BEAM_STATE_SINCE(runtime::SandboxDescription, mounts, 3)
BEAM_STATE_SINCE(runtime::SandboxDescription, network, 2)
BEAM_STATE_SINCE(runtime::SandboxDescription, address, 2)
BEAM_STATE(runtime::SandboxDescription, 4, id, name, group, host_name, working_directory, command, environment, umask,
           keep_stdin, terminal, root, target, stopped, terminal_mask, consoles, network, address, mounts, published)

}  // namespace beam::migrate
