// The terminal of a `beam` client: which of its streams it is, its modes, its size, and whether the client is in front.
//
// Holds: modes that were changed are put back by the destructor and before this process stops.
#pragma once

#include <termios.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/messages.h"

namespace beam::runtime {

class Terminal {
 public:
  // The terminal among stdin, stdout and stderr, if any of them is one. When several are, the first decides; streams on
  // other terminals are left alone.
  static std::optional<Terminal> find();

  Terminal(Terminal&& other) noexcept;
  Terminal& operator=(Terminal&&) = delete;
  ~Terminal();

  // Bit n: descriptor n is this terminal.
  [[nodiscard]] unsigned mask() const { return mask_; }
  // For reading and writing.
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] WindowSize window() const;
  // As the kernel lays termios out; empty when it can't be asked.
  [[nodiscard]] std::string modes() const;
  // This process is in the terminal's foreground group.
  [[nodiscard]] bool foreground() const;

  // Every byte passes as it is; with `keep_output`, output still gets its carriage returns, for others that print
  // there.
  Result<> make_raw(bool keep_output);
  void restore();
  [[nodiscard]] bool raw() const { return saved_.has_value(); }

 private:
  Terminal(unsigned mask, UniqueFd fd) : mask_(mask), fd_(std::move(fd)) {}
  unsigned mask_;
  UniqueFd fd_;
  std::optional<struct termios> saved_;
};

// True when no process could continue this one's process group if it stopped (POSIX: orphaned).
[[nodiscard]] bool process_group_is_orphaned();

}  // namespace beam::runtime
