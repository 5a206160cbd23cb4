#include "migrate/pty.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "migrate/object_kind.h"

// sys/ioctl.h and asm/termbits.h do not go together.
extern "C" int ioctl(int fd, unsigned long request, ...) noexcept;

namespace beam::migrate {
namespace {

// asm-generic/ioctls.h
constexpr unsigned long kGetModes = 0x802C542A;  // TCGETS2
constexpr unsigned long kSetModes = 0x402C542B;  // TCSETS2
constexpr int kPatienceMs = 2000;

// O_NONBLOCK on a description, as long as this lives.
class NonBlocking {
 public:
  explicit NonBlocking(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) { ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK); }
  ~NonBlocking() { ::fcntl(fd_, F_SETFL, flags_); }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;

 private:
  int fd_;
  int flags_;
};

Result<> set_modes(int slave, const termios2& modes) {
  return ::ioctl(slave, kSetModes, &modes) == 0 ? success()
                                                : Result<>(Error::from_errno("set the modes of a terminal"));
}

// All that a reader gets now; poll() has the kernel deliver what is still on its way (n_tty_poll).
Result<Bytes> read_all(int fd) {
  Bytes all;
  std::array<std::uint8_t, 4096> buffer;
  for (;;) {
    pollfd ready{fd, POLLIN, 0};
    ::poll(&ready, 1, 0);
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    // EIO: a master whose slave is closed has no more.
    if (got < 0 && errno != EAGAIN && errno != EIO) {
      return Error::from_errno("read a terminal");
    }
    if (got <= 0) {
      return all;
    }
    all.insert(all.end(), buffer.begin(), buffer.begin() + got);
  }
}

Result<> write_all(int fd, const Bytes& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0 && errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      if (::poll(&room, 1, kPatienceMs) > 0) {
        continue;
      }
    }
    if (put <= 0) {
      return Error(put < 0 ? errno : EIO, "write to a terminal");
    }
    done += static_cast<std::size_t>(put);
  }
  return success();
}

// Types, and waits until the line discipline has had all of it: it echoes.
Result<> type(int master, const Bytes& bytes, std::size_t echoed) {
  BEAM_TRY(write_all(master, bytes));
  std::array<std::uint8_t, 4096> buffer;
  while (echoed > 0) {
    pollfd ready{master, POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) {
      return Error(EIO, "put input back into a terminal");
    }
    const ssize_t got = ::read(master, buffer.data(), std::min(buffer.size(), echoed));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    }
    if (got <= 0) {
      return Error(got < 0 ? errno : EIO, "put input back into a terminal");
    }
    echoed -= static_cast<std::size_t>(got);
  }
  return success();
}

// Nothing is special but what ends a line: `end_of_file` pushes one without being in it.
termios2 plain(const termios2& modes, std::uint8_t end_of_file, std::uint8_t end_of_line) {
  termios2 plain = modes;
  plain.c_iflag = 0;
  plain.c_oflag = 0;
  plain.c_lflag = (modes.c_lflag & (ICANON | EXTPROC)) | ECHO;
  std::fill(std::begin(plain.c_cc), std::end(plain.c_cc), std::uint8_t{0});  // _POSIX_VDISABLE
  plain.c_cc[VMIN] = 1;
  if ((modes.c_lflag & ICANON) != 0) {
    plain.c_cc[VEOF] = end_of_file;
    plain.c_cc[VEOL] = end_of_line;
  }
  return plain;
}

std::uint8_t byte_not_in(const Bytes& bytes) {
  for (std::uint8_t byte = 1; byte != 0; ++byte) {
    if (byte != '\n' && std::find(bytes.begin(), bytes.end(), byte) == bytes.end()) {
      return byte;
    }
  }
  return 4;
}

}  // namespace

Result<PtyContents> take_pty(int master, int slave) {
  PtyContents contents;
  termios2 modes{};
  if (::ioctl(slave, kGetModes, &modes) != 0) {
    return Error::from_errno("read the modes of a terminal");
  }
  // What could not be put back is not taken: output that has been stopped (^S), or fills all there is room for. A byte
  // more tells, and comes out last.
  BEAM_TRY(set_modes(slave, plain(modes, 0, 0)));
  const std::uint8_t probe = 'x';
  const bool flows = ::write(slave, &probe, 1) == 1;
  BEAM_TRY(set_modes(slave, modes));
  if (!flows) {
    return Error(kObstacle, "a terminal whose output has been stopped, or that is full");
  }
  const NonBlocking guard(master);
  auto output = read_all(master);
  if (!output.ok()) {
    return std::move(output).error();
  }
  if (output->empty()) {
    return Error(EIO, "read what is on its way to a terminal");
  }
  output->pop_back();
  contents.output = std::move(*output);
  if ((modes.c_lflag & ICANON) != 0) {
    for (;;) {
      pollfd ready{slave, POLLIN, 0};
      ::poll(&ready, 1, 0);
      Bytes line(4096);
      const ssize_t got = ::read(slave, line.data(), line.size());
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0 && errno == EAGAIN) {
        break;
      }
      if (got < 0) {
        return Error::from_errno("read a terminal");
      }
      line.resize(static_cast<std::size_t>(got));
      contents.lines.push_back(std::move(line));
    }
  }
  // Without lines, all that has been typed can be read.
  termios2 raw = modes;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  BEAM_TRY(set_modes(slave, raw));
  auto rest = read_all(slave);
  BEAM_TRY(set_modes(slave, modes));
  if (!rest.ok()) {
    return std::move(rest).error();
  }
  if ((modes.c_lflag & ICANON) != 0) {
    contents.partial = std::move(*rest);
  } else if (!rest->empty()) {
    contents.lines.push_back(std::move(*rest));
  }
  return contents;
}

Result<> fill_pty(int master, int slave, const PtyContents& contents, const termios2& modes) {
  const NonBlocking guard(master);
  const bool canonical = (modes.c_lflag & ICANON) != 0;
  for (const Bytes& line : contents.lines) {
    const bool ends = !line.empty() && line.back() == '\n';
    Bytes typed = line;
    const std::uint8_t end_of_file = byte_not_in(line);
    BEAM_TRY(set_modes(slave, plain(modes, end_of_file, 0)));
    if (canonical && !ends) {
      typed.push_back(end_of_file);
    }
    BEAM_TRY(type(master, typed, line.size()));
    if (line.empty()) {
      // An end of file alone echoes nothing; poll() sees it delivered.
      pollfd ready{slave, POLLIN, 0};
      ::poll(&ready, 1, kPatienceMs);
    }
  }
  if (!contents.partial.empty()) {
    BEAM_TRY(set_modes(slave, plain(modes, byte_not_in(contents.partial), 0)));
    BEAM_TRY(type(master, contents.partial, contents.partial.size()));
  }
  if (!contents.output.empty()) {
    termios2 quiet = plain(modes, 0, 0);
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    BEAM_TRY(set_modes(slave, quiet));
    BEAM_TRY(write_all(slave, contents.output));
  }
  return set_modes(slave, modes);
}

}  // namespace beam::migrate
