#include "runtime/console_state.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/unique_fd.h"

namespace beam::runtime {
namespace {

constexpr char kEnd = 4;       // ^D
constexpr char kLiteral = 22;  // ^V: the next character has no meaning
constexpr char kReprint = 18;  // ^R: echoes the line again
constexpr int kPatienceMs = 5000;
// The line discipline keeps 4095 bytes (N_TTY_BUF_SIZE). What is beyond waits in front of it, and would be interpreted.
constexpr std::size_t kRoom = 4000;

Error fault(const char* what) {
  return Error::from_errno(std::string("terminal: ") + what);
}

Result<> set_modes(int slave, const struct termios& modes) {
  return ::tcsetattr(slave, TCSANOW, &modes) == 0 ? success() : Result<>(fault("set its modes"));
}

// Modes in which input is kept as it is written. In canonical mode lines have to end, and only with kLiteral before
// them do characters mean nothing.
struct termios feeding_modes(const struct termios& modes) {
  struct termios feeding = modes;
  feeding.c_iflag = 0;
  feeding.c_oflag = 0;
  feeding.c_lflag = modes.c_lflag & ICANON;
  std::memset(feeding.c_cc, _POSIX_VDISABLE, sizeof feeding.c_cc);
  if ((modes.c_lflag & ICANON) != 0) {
    feeding.c_lflag |= IEXTEN;
    feeding.c_cc[VEOF] = kEnd;
    feeding.c_cc[VLNEXT] = kLiteral;
    feeding.c_cc[VREPRINT] = kReprint;
  } else {
    feeding.c_cc[VMIN] = 1;
  }
  return feeding;
}

Result<> write_master(int master, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(master, bytes.data(), bytes.size());
    if (put > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(put));
      continue;
    }
    struct pollfd entry = {master, POLLOUT, 0};
    if (put < 0 && errno != EAGAIN && errno != EINTR) {
      return fault("put input back");
    }
    if (errno == EAGAIN && ::poll(&entry, 1, kPatienceMs) == 0) {
      return Error(ETIMEDOUT, "terminal: put input back");
    }
  }
  return success();
}

std::string literally(const std::string& text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\n' || c == kEnd || c == kLiteral || c == kReprint) {
      quoted += kLiteral;
    }
    quoted += c;
  }
  return quoted;
}

// What is written to a master reaches the line discipline by a work queue. Modes must not change before: in canonical
// mode the line is reprinted last, and its echo says that everything before has arrived.
Result<> feed_canonical(int master, int slave, struct termios modes, const std::vector<std::string>& lines,
                        const std::string& partial) {
  std::string bytes;
  for (const std::string& line : lines) {
    const bool ended = !line.empty() && line.back() == '\n';
    bytes += literally(ended ? line.substr(0, line.size() - 1) : line) + (ended ? '\n' : kEnd);
  }
  BEAM_TRY(set_modes(slave, modes));
  BEAM_TRY(write_master(master, bytes + literally(partial)));
  modes.c_lflag |= ECHO;
  BEAM_TRY(set_modes(slave, modes));
  BEAM_TRY(write_master(master, std::string(1, kReprint)));
  const std::string last = std::string(1, kReprint) + "\n" + partial;
  std::string seen;
  std::array<char, 4096> buffer;
  while (!seen.ends_with(last)) {
    struct pollfd entry = {master, POLLIN, 0};
    if (::poll(&entry, 1, kPatienceMs) == 0) {
      return Error(ETIMEDOUT, "terminal: put input back");
    }
    const ssize_t got = ::read(master, buffer.data(), buffer.size());
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
      return fault("put input back");
    }
    seen.append(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  return success();
}

Result<> feed_raw(int master, int slave, const struct termios& modes, const std::string& bytes) {
  BEAM_TRY(set_modes(slave, modes));
  BEAM_TRY(write_master(master, bytes));
  int there = 0;
  while (::ioctl(slave, FIONREAD, &there) == 0 && static_cast<std::size_t>(there) < bytes.size()) {
    ::sched_yield();
  }
  return success();
}

Result<> feed(int master, int slave, const struct termios& modes, const std::vector<std::string>& lines,
              const std::string& partial) {
  if (lines.empty() && partial.empty()) {
    return set_modes(slave, modes);
  }
  const struct termios feeding = feeding_modes(modes);
  auto fed = (modes.c_lflag & ICANON) != 0 ? feed_canonical(master, slave, feeding, lines, partial)
                                           : feed_raw(master, slave, feeding, partial);
  BEAM_TRY(set_modes(slave, modes));
  return fed;
}

}  // namespace

Result<ConsoleState> capture_console(int master, int slave) {
  ConsoleState state;
  struct termios modes {};
  struct winsize window {};
  if (::tcgetattr(slave, &modes) != 0 || ::ioctl(slave, TIOCGWINSZ, &window) != 0) {
    return fault("read its modes");
  }
  state.modes.assign(reinterpret_cast<const char*>(&modes), sizeof modes);
  state.rows = window.ws_row;
  state.columns = window.ws_col;
  state.x_pixels = window.ws_xpixel;
  state.y_pixels = window.ws_ypixel;
  // A description of its own, so that the program's keeps its flags.
  const UniqueFd reader(
      ::open(("/proc/self/fd/" + std::to_string(slave)).c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!reader) {
    return fault("open it again");
  }
  std::array<char, 8192> buffer;  // longer than any line
  if ((modes.c_lflag & ICANON) != 0) {
    for (;;) {
      const ssize_t got = ::read(reader.get(), buffer.data(), buffer.size());
      if (got < 0) {
        break;
      }
      state.lines.emplace_back(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  // Without lines, what has been typed of the next one can be read as well.
  struct termios raw = modes;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  BEAM_TRY(set_modes(slave, raw));
  for (;;) {
    const ssize_t got = ::read(reader.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      break;
    }
    state.partial.append(buffer.data(), static_cast<std::size_t>(got));
  }
  std::string queued;
  BEAM_TRY(restore_console(master, slave, state, queued));
  return state;
}

Result<> restore_console(int master, int slave, const ConsoleState& state, std::string& queued) {
  struct termios modes {};
  if (state.modes.size() != sizeof modes) {
    return Error(EINVAL, "terminal: modes of another system");
  }
  std::memcpy(&modes, state.modes.data(), sizeof modes);
  std::size_t room = kRoom;
  std::vector<std::string> lines;
  std::string partial;
  for (const std::string& line : state.lines) {
    if (!queued.empty() || line.size() + 1 > room) {
      queued += line;
      continue;
    }
    room -= line.size() + 1;
    lines.push_back(line);
  }
  if (queued.empty()) {
    partial = state.partial.substr(0, room);
    queued = state.partial.substr(partial.size());
  } else {
    queued += state.partial;
  }
  BEAM_TRY(feed(master, slave, modes, lines, partial));
  struct winsize window {};
  window.ws_row = state.rows;
  window.ws_col = state.columns;
  window.ws_xpixel = state.x_pixels;
  window.ws_ypixel = state.y_pixels;
  if (::ioctl(slave, TIOCSWINSZ, &window) != 0) {
    return fault("set its window size");
  }
  return success();
}

}  // namespace beam::runtime
