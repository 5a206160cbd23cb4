#include "runtime/console_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>

#include "base/unique_fd.h"

namespace beam::runtime {
namespace {

struct Pair {
  UniqueFd master;
  UniqueFd slave;

  Pair() {
    master.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    ::unlockpt(master.get());
    slave.reset(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  }
  // Typed, and arrived: a poll that finds nothing waits for the work queue (n_tty_poll), and so does a read.
  void type(const std::string& text) const {
    ASSERT_EQ(::write(master.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    std::array<char, 4096> echo;
    struct pollfd entry = {master.get(), POLLIN, 0};
    while (::poll(&entry, 1, 50) > 0 && ::read(master.get(), echo.data(), echo.size()) > 0) {
    }
  }
  [[nodiscard]] std::string read() const {
    std::array<char, 8192> buffer;
    const ssize_t got = ::read(slave.get(), buffer.data(), buffer.size());
    return got < 0 ? "(nothing)" : std::string(buffer.data(), static_cast<std::size_t>(got));
  }
  void modes(tcflag_t without) const {
    struct termios modes {};
    ::tcgetattr(slave.get(), &modes);
    modes.c_lflag &= ~without;
    ::tcsetattr(slave.get(), TCSANOW, &modes);
  }
};

void expect_lines(const Pair& pair) {
  EXPECT_EQ(pair.read(), "one\n");
  EXPECT_EQ(pair.read(), "t\nwo\n");
  EXPECT_EQ(pair.read(), "ended");
  EXPECT_EQ(pair.read(), "");
  EXPECT_EQ(pair.read(), "(nothing)");  // a line is only half there
  pair.type("ine\n");
  EXPECT_EQ(pair.read(), "half a l\x12\x16ine\n");
}

const std::string kTyped = "one\nt\x16\nwo\nended\x04\x04half a l\x16\x12\x16\x16";

TEST(ConsoleState, LeavesLinesAsTheyWere) {
  const Pair pair;
  pair.type(kTyped);
  const auto state = capture_console(pair.master.get(), pair.slave.get());
  ASSERT_TRUE(state.ok()) << state.error().message();
  EXPECT_EQ(state->lines, (std::vector<std::string>{"one\n", "t\nwo\n", "ended", ""}));
  EXPECT_EQ(state->partial, "half a l\x12\x16");
  expect_lines(pair);
}

TEST(ConsoleState, PutsLinesIntoAnother) {
  const Pair pair;
  pair.type(kTyped);
  const auto state = capture_console(pair.master.get(), pair.slave.get());
  ASSERT_TRUE(state.ok());
  const Pair other;
  std::string queued;
  ASSERT_TRUE(restore_console(other.master.get(), other.slave.get(), *state, queued).ok());
  EXPECT_EQ(queued, "");
  expect_lines(other);
}

TEST(ConsoleState, KeepsRawInput) {
  const Pair pair;
  pair.modes(ICANON | ECHO | ISIG);
  const std::string bytes("\x03 \x04\n\r\0\x16z", 8);
  pair.type(bytes);
  const auto state = capture_console(pair.master.get(), pair.slave.get());
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(state->lines.empty());
  const Pair other;
  std::string queued;
  ASSERT_TRUE(restore_console(other.master.get(), other.slave.get(), *state, queued).ok());
  EXPECT_EQ(other.read(), pair.read());
}

TEST(ConsoleState, KeepsModesAndWindow) {
  const Pair pair;
  pair.modes(ECHO);
  const struct winsize window = {11, 22, 33, 44};
  ::ioctl(pair.slave.get(), TIOCSWINSZ, &window);
  const auto state = capture_console(pair.master.get(), pair.slave.get());
  ASSERT_TRUE(state.ok());
  const Pair other;
  std::string queued;
  ASSERT_TRUE(restore_console(other.master.get(), other.slave.get(), *state, queued).ok());
  struct termios modes {};
  ::tcgetattr(other.slave.get(), &modes);
  EXPECT_EQ(modes.c_lflag & (ECHO | ICANON), static_cast<tcflag_t>(ICANON));
  struct winsize now {};
  ::ioctl(other.slave.get(), TIOCGWINSZ, &now);
  EXPECT_EQ(now.ws_row, 11);
  EXPECT_EQ(now.ws_ypixel, 44);
}

}  // namespace
}  // namespace beam::runtime
