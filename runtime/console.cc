#include "runtime/console.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/log.h"
#include "runtime/file_io.h"

namespace beam::runtime {

Result<std::shared_ptr<Console>> Console::open(asio::io_context& io, const StreamSetup& setup) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master) {
    return Error::from_errno("/dev/ptmx: cannot open a pseudo-terminal");
  }
  if (::unlockpt(master.get()) != 0) {
    return Error::from_errno("/dev/ptmx: cannot unlock the pseudo-terminal");
  }
  // By descriptor, so that it is the right one whatever is mounted on /dev/pts.
  // O_CLOEXEC would stay among the description's own flags (drivers/tty/pty.c), and /proc would show it for every
  // descriptor.
  UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY));
  if (!slave || ::fcntl(slave.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return Error::from_errno("/dev/ptmx: cannot open the terminal side");
  }
  struct termios modes {};
  if (setup.termios.size() == sizeof modes) {
    std::memcpy(&modes, setup.termios.data(), sizeof modes);
    ::tcsetattr(slave.get(), TCSANOW, &modes);
  }
  const int flags = ::fcntl(master.get(), F_GETFL);
  ::fcntl(master.get(), F_SETFL, flags | O_NONBLOCK);
  auto console = std::make_shared<Console>(io, std::move(master), std::move(slave));
  console->resize(setup.window, false);
  console->wait_readable();
  return console;
}

Console::Console(asio::io_context& io, UniqueFd master, UniqueFd slave)
    : slave_(std::move(slave)), master_(io, master.release()) {}

Console::~Console() = default;

void Console::attach(ConsoleSink& sink, bool replay) {
  if (replay && !recent_.empty()) {
    sink.console_output(recent_);
  }
  sinks_.push_back(&sink);
}

void Console::detach(ConsoleSink& sink) {
  std::erase(sinks_, &sink);
  resume();
}

void Console::resume() {
  wait_readable();
}

bool Console::congested() const {
  return std::any_of(sinks_.begin(), sinks_.end(), [](const ConsoleSink* sink) { return sink->congested(); });
}

void Console::wait_readable() {
  if (reading_ || congested()) {
    return;
  }
  reading_ = true;
  master_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [weak = weak_from_this()](const std::error_code& fault) {
                       const auto self = weak.lock();
                       if (!self) {
                         return;
                       }
                       self->reading_ = false;
                       // A sink may have come to be congested since.
                       if (!fault && !self->congested() && self->read_once()) {
                         self->wait_readable();
                       }
                     });
}

bool Console::read_once() {
  std::array<char, 16384> buffer;
  const ssize_t got = ::read(master_.native_handle(), buffer.data(), buffer.size());
  if (got <= 0) {
    return got < 0 && (errno == EAGAIN || errno == EINTR);
  }
  const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
  recent_ += bytes;
  // Cut in large steps: a program that writes much must not make this copy for every write.
  if (recent_.size() > 2 * kRecentLimit) {
    recent_.erase(0, recent_.size() - kRecentLimit);
  }
  if (log_fd_ >= 0) {
    const auto logged = write_all(log_fd_, bytes);
    if (!logged.ok()) {
      BEAM_LOG_WARN(kRuntime, "log of the terminal: {}", logged.error().message());
    }
  }
  for (ConsoleSink* sink : std::vector(sinks_)) {
    sink->console_output(bytes);
  }
  return true;
}

void Console::drain() {
  // The kernel passes on what a slave has written before it says that there is nothing (n_tty_read flushes first).
  struct pollfd entry = {master_.native_handle(), POLLIN, 0};
  while (::poll(&entry, 1, 0) > 0 && (entry.revents & POLLIN) != 0 && read_once()) {
  }
}

void Console::input(std::string_view bytes) {
  input_ += bytes;
  flush_input();
}

void Console::input_end() {
  struct termios modes {};
  if (::tcgetattr(master_.native_handle(), &modes) == 0 && (modes.c_lflag & ICANON) != 0) {
    input(std::string(1, static_cast<char>(modes.c_cc[VEOF])));
  }
}

void Console::flush_input() {
  const bool was_congested = input_congested();
  while (!input_.empty()) {
    const ssize_t put = ::write(master_.native_handle(), input_.data(), input_.size());
    if (put < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno == EAGAIN) {
        wait_writable();
      } else {
        input_.clear();
      }
      break;
    }
    input_.erase(0, static_cast<std::size_t>(put));
  }
  if (was_congested && !input_congested() && on_input_room) {
    on_input_room();
  }
}

void Console::wait_writable() {
  if (writing_) {
    return;
  }
  writing_ = true;
  master_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [weak = weak_from_this()](const std::error_code& fault) {
                       const auto self = weak.lock();
                       if (!self) {
                         return;
                       }
                       self->writing_ = false;
                       if (!fault) {
                         self->flush_input();
                       }
                     });
}

void Console::resize(const WindowSize& window, bool redraw) {
  struct winsize size {};
  size.ws_row = window.rows;
  size.ws_col = window.columns;
  size.ws_xpixel = window.x_pixels;
  size.ws_ypixel = window.y_pixels;
  struct winsize current {};
  ::ioctl(master_.native_handle(), TIOCGWINSZ, &current);
  if (std::memcmp(&size, &current, sizeof size) != 0) {
    ::ioctl(master_.native_handle(), TIOCSWINSZ, &size);
  } else if (redraw) {
    // A full-screen program paints itself anew when the size changes; TIOCSIG doesn't send SIGWINCH
    // (drivers/tty/pty.c).
    struct winsize other = size;
    other.ws_row = static_cast<unsigned short>(other.ws_row + 1);
    ::ioctl(master_.native_handle(), TIOCSWINSZ, &other);
    ::ioctl(master_.native_handle(), TIOCSWINSZ, &size);
  }
}

pid_t Console::foreground_group() const {
  pid_t group = -1;
  // TIOCGPGRP on the master answers for the slave (tty_ioctl(4)).
  return ::ioctl(const_cast<asio::posix::stream_descriptor&>(master_).native_handle(), TIOCGPGRP, &group) == 0 ? group
                                                                                                               : -1;
}

Result<ConsoleState> Console::capture() {
  drain();
  BEAM_TRY_ASSIGN(ConsoleState state, capture_console(master_.native_handle(), slave_.get()));
  state.queued = input_;
  state.recent = recent_;
  return state;
}

Result<> Console::restore(const ConsoleState& state) {
  std::string queued;
  BEAM_TRY(restore_console(master_.native_handle(), slave_.get(), state, queued));
  recent_ = state.recent;
  input(queued + state.queued);
  return success();
}

}  // namespace beam::runtime
