// A pseudo-terminal of a sandbox: the supervisor holds the master, processes inside the slave, clients come and go.
//
// Owns: both ends, the recent output, input that the terminal has not yet taken. Holds: output is read only as fast as
// every attached client takes it, so a slow terminal slows the program as it would natively; without a client nothing
// waits.
#pragma once

#include <termios.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/console_state.h"
#include "runtime/messages.h"

namespace beam::runtime {

// Where a console's output goes.
class ConsoleSink {
 public:
  virtual ~ConsoleSink() = default;
  virtual void console_output(std::string_view bytes) = 0;
  // True while it has more queued than it should.
  [[nodiscard]] virtual bool congested() const = 0;
};

class Console : public std::enable_shared_from_this<Console> {
 public:
  static Result<std::shared_ptr<Console>> open(asio::io_context& io, const StreamSetup& setup);
  Console(asio::io_context& io, UniqueFd master, UniqueFd slave);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  ~Console();

  [[nodiscard]] int slave() const { return slave_.get(); }
  // Output is written there too; not owned; -1: none.
  void set_log(int fd) { log_fd_ = fd; }

  // A sink that is attached anew gets the recent output first, when `replay` is set.
  void attach(ConsoleSink& sink, bool replay);
  void detach(ConsoleSink& sink);
  // A sink that was congested takes output again.
  void resume();

  void input(std::string_view bytes);
  // What ^D means on this terminal, after all input so far.
  void input_end();
  [[nodiscard]] bool input_congested() const { return input_.size() > kInputLimit; }
  // Called when the input queue has room again.
  std::function<void()> on_input_room;

  // SIGWINCH goes to the foreground group when the size is another one, or always with `redraw`.
  void resize(const WindowSize& window, bool redraw);
  // The process group in the foreground, as the kernel knows it; -1 when there is none.
  [[nodiscard]] pid_t foreground_group() const;

  // While nothing of the sandbox runs: what is in it.
  Result<ConsoleState> capture();
  // Before anything of the sandbox runs: puts that into a new one.
  Result<> restore(const ConsoleState& state);

  // Passes on all output that was written before this call, even to congested sinks.
  void drain();

 private:
  static constexpr std::size_t kInputLimit = 64U << 10U;
  static constexpr std::size_t kRecentLimit = 64U << 10U;

  void wait_readable();
  void wait_writable();
  void flush_input();
  // False when nothing was there.
  bool read_once();
  [[nodiscard]] bool congested() const;

  UniqueFd slave_;
  asio::posix::stream_descriptor master_;
  std::vector<ConsoleSink*> sinks_;
  std::string recent_;
  std::string input_;
  int log_fd_ = -1;
  bool reading_ = false;
  bool writing_ = false;
};

}  // namespace beam::runtime
