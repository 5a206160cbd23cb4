// Descriptors of a terminal that the sandbox was given by its runtime, which holds the master and keeps what is in the
// terminal. Opened by whatever name (/dev/tty, /dev/pts/N), they are the same terminal; thawed, they are its successor.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct ConsoleEndState {
  std::int32_t console = 0;
  std::int32_t flags = 0;
};
BEAM_STATE(ConsoleEndState, 1, console, flags)

namespace {

constexpr int kNotOne = -1;
constexpr int kKept = O_ACCMODE | O_NONBLOCK | O_APPEND | O_ASYNC;

class Console : public KindOf<ConsoleEndState> {
 public:
  std::string_view name() const override { return "console"; }
  // Before the kind that it would be by nature.
  int order() const override { return 1; }
  bool recognises(const CollectContext& context, const OpenFile& file) const override {
    return console_of(context, file) != kNotOne;
  }

 protected:
  Result<ConsoleEndState> collect_state(CollectContext& context, const OpenFile& file) const override {
    return ConsoleEndState{console_of(context, file), file.flags & kKept};
  }
  Result<UniqueFd> make_from(MakeContext& context, const ConsoleEndState& state) const override {
    if (context.consoles == nullptr || state.console < 0 ||
        static_cast<std::size_t>(state.console) >= context.consoles->size()) {
      return Error(kDamaged, "no such console");
    }
    const int slave = (*context.consoles)[static_cast<std::size_t>(state.console)];
    UniqueFd fd(
        ::open(("/proc/self/fd/" + std::to_string(slave)).c_str(), (state.flags & kKept) | O_NOCTTY | O_CLOEXEC));
    if (!fd) {
      return Error::from_errno("open the sandbox's terminal");
    }
    return fd;
  }

 private:
  static int console_of(const CollectContext& context, const OpenFile& file) {
    if (context.consoles == nullptr || !S_ISCHR(file.info.st_mode) || (file.flags & O_PATH) != 0) {
      return kNotOne;
    }
    // By its number rather than by its name: /dev/tty names every terminal (TIOCGDEV of ioctl_tty(2)).
    unsigned device = 0;
    if (::ioctl(file.copy.get(), TIOCGDEV, &device) != 0) {
      return kNotOne;
    }
    for (std::size_t i = 0; i < context.consoles->size(); ++i) {
      unsigned slave = 0;
      if (::ioctl((*context.consoles)[i], TIOCGDEV, &slave) == 0 && slave == device) {
        return static_cast<int>(i);
      }
    }
    return kNotOne;
  }
};

const KindRegistration kRegistration{std::make_unique<Console>()};

}  // namespace
}  // namespace beam::migrate
