#include "runtime/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "runtime/file_io.h"

namespace beam::runtime {
namespace {

// The device behind a descriptor: /dev/tty and /dev/pts/N are the same terminal under two names.
std::optional<unsigned> device_of(int fd) {
  unsigned device = 0;
  if (::isatty(fd) == 0 || ::ioctl(fd, TIOCGDEV, &device) != 0) {
    return std::nullopt;
  }
  return device;
}

}  // namespace

std::optional<Terminal> Terminal::find() {
  unsigned mask = 0;
  std::optional<unsigned> device;
  int first = -1;
  for (int fd = 0; fd < 3; ++fd) {
    const auto here = device_of(fd);
    if (here.has_value() && (!device.has_value() || here == device)) {
      if (!device.has_value()) {
        device = here;
        first = fd;
      }
      mask |= 1U << fd;
    }
  }
  if (mask == 0) {
    return std::nullopt;
  }
  // Opened anew, so that it can be read and written whatever the streams were opened for.
  UniqueFd fd(::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!fd || device_of(fd.get()) != device) {
    fd = UniqueFd(::open(("/proc/self/fd/" + std::to_string(first)).c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  }
  if (!fd) {
    fd = UniqueFd(::fcntl(first, F_DUPFD_CLOEXEC, 3));
  }
  if (!fd) {
    return std::nullopt;
  }
  return Terminal(mask, std::move(fd));
}

Terminal::Terminal(Terminal&& other) noexcept
    : mask_(other.mask_), fd_(std::move(other.fd_)), saved_(std::exchange(other.saved_, std::nullopt)) {}

Terminal::~Terminal() {
  restore();
}

WindowSize Terminal::window() const {
  struct winsize size {};
  ::ioctl(fd_.get(), TIOCGWINSZ, &size);
  return WindowSize{size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel};
}

std::string Terminal::modes() const {
  struct termios modes {};
  if (::tcgetattr(fd_.get(), &modes) != 0) {
    return {};
  }
  return std::string(reinterpret_cast<const char*>(&modes), sizeof modes);
}

bool Terminal::foreground() const {
  const pid_t group = ::tcgetpgrp(fd_.get());
  // A terminal that isn't the controlling one has no foreground to be in: nobody competes for it.
  return group < 0 || group == ::getpgrp();
}

Result<> Terminal::make_raw(bool keep_output) {
  if (saved_.has_value()) {
    return success();
  }
  struct termios modes {};
  if (::tcgetattr(fd_.get(), &modes) != 0) {
    return Error::from_errno("terminal: cannot read its modes");
  }
  struct termios raw = modes;
  ::cfmakeraw(&raw);
  if (keep_output) {
    raw.c_oflag = modes.c_oflag;
  }
  if (::tcsetattr(fd_.get(), TCSADRAIN, &raw) != 0) {
    return Error::from_errno("terminal: cannot set its modes");
  }
  saved_ = modes;
  return success();
}

void Terminal::restore() {
  if (saved_.has_value()) {
    ::tcsetattr(fd_.get(), TCSADRAIN, &*saved_);
    saved_.reset();
  }
}

bool process_group_is_orphaned() {
  const pid_t group = ::getpgrp();
  const pid_t session = ::getsid(0);
  pid_t pid = ::getppid();
  // Up to the first ancestor outside of the group: it could continue it if it is of the same session.
  while (pid > 1 && ::getpgid(pid) == group) {
    const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!stat.ok()) {
      return true;
    }
    const auto paren = stat->rfind(')');
    char state = 0;
    int parent = 0;
    if (paren == std::string::npos || std::sscanf(stat->c_str() + paren + 1, " %c %d", &state, &parent) != 2) {
      return true;
    }
    pid = parent;
  }
  return pid <= 0 || ::getsid(pid) != session;
}

}  // namespace beam::runtime
