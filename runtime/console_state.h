// What a terminal of a sandbox is made of beside its descriptors: modes, window, and input that nobody has read yet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/fields.h"

namespace beam::runtime {

struct ConsoleState {
  std::string modes;  // struct termios
  std::uint16_t rows = 0;
  std::uint16_t columns = 0;
  std::uint16_t x_pixels = 0;
  std::uint16_t y_pixels = 0;
  // Unread input. In canonical mode: each line as one read gives it (with its newline; without one where ^D ended it,
  // which is the end of the input for an empty one), and then what has been typed of the next line. Otherwise all is
  // `partial`.
  std::vector<std::string> lines;
  std::string partial;
  std::string queued;  // input that the terminal had no room for yet
  std::string recent;  // output, for whoever attaches
};

// Takes modes, window and unread input; everything is left as it was. Nothing may read or write the terminal meanwhile,
// and all output must have been read.
[[nodiscard]] Result<ConsoleState> capture_console(int master, int slave);
// Puts them into a terminal that has no input. What doesn't fit is appended to `queued`.
[[nodiscard]] Result<> restore_console(int master, int slave, const ConsoleState& state, std::string& queued);

}  // namespace beam::runtime

namespace beam::migrate {

BEAM_STATE(runtime::ConsoleState, 1, modes, rows, columns, x_pixels, y_pixels, lines, partial, queued, recent)

}  // namespace beam::migrate
