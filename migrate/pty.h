// What is in a pseudo-terminal between its two ends, read and put back through them (n_tty(4) of the kernel,
// drivers/tty).
#pragma once

#include <asm/termbits.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace beam::migrate {

using Bytes = std::vector<std::uint8_t>;

struct PtyContents {
  std::vector<Bytes> lines;  // input that reads take one by one, in canonical mode; else one, with all of it
  Bytes partial;             // of the line that is being typed
  Bytes output;              // written to the terminal and not read from the master
};

// Takes everything out. `slave` is a description of the caller's own with O_NONBLOCK; the master is set non-blocking
// for a moment. Leaves the terminal's modes as they were.
[[nodiscard]] Result<PtyContents> take_pty(int master, int slave);
// Puts it in, and sets the modes.
[[nodiscard]] Result<> fill_pty(int master, int slave, const PtyContents& contents, const termios2& modes);

}  // namespace beam::migrate
