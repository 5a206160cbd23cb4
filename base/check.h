// Broken invariants of Beam's own. A check never fails for anything that a program or the host did.
#pragma once

namespace beam {

// Prints the condition, the place and the log ring, and aborts: with PTRACE_O_EXITKILL nothing of the sandbox lives on.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace beam

#define BEAM_CHECK(condition)                                \
  do {                                                       \
    if (!(condition)) {                                      \
      ::beam::check_failed(#condition, __FILE__, __LINE__);  \
    }                                                        \
  } while (false)
