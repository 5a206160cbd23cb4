// Pseudo-terminals that were made in the sandbox: both ends, modes, size, what is on its way, session and foreground
// group.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>

#include "migrate/object_kind.h"
#include "migrate/pty.h"
#include "migrate/remote.h"

extern "C" int ioctl(int fd, unsigned long request, ...) noexcept;

namespace beam::migrate {

struct PtyMasterState {
  std::int32_t number = 0;  // of /dev/pts/N
  std::int32_t flags = 0;
  bool packet_mode = false;
  bool locked = false;
  bool exclusive = false;
  std::vector<std::uint8_t> modes;  // termios2
  std::vector<std::uint8_t> size;   // winsize
  bool slave_open = false;
  bool slave_closed = false;                     // it has been open, and is no more
  std::vector<std::vector<std::uint8_t>> lines;  // PtyContents
  std::vector<std::uint8_t> partial;
  std::vector<std::uint8_t> output;
  std::int32_t session = 0;  // whose controlling terminal it is
  std::int32_t foreground = 0;
};
BEAM_STATE(PtyMasterState, 1, number, flags, packet_mode, locked, exclusive, modes, size, slave_open, slave_closed,
           lines, partial, output, session, foreground)

struct PtySlaveState {
  std::int32_t number = 0;
  std::int32_t flags = 0;
  bool hung_up = false;  // its master has been closed
};
BEAM_STATE(PtySlaveState, 1, number, flags, hung_up)

namespace {

// asm-generic/ioctls.h
constexpr unsigned long kGetModes = 0x802C542A;       // TCGETS2
constexpr unsigned long kSetModes = 0x402C542B;       // TCSETS2
constexpr unsigned long kGetSize = 0x5413;            // TIOCGWINSZ
constexpr unsigned long kSetSize = 0x5414;            // TIOCSWINSZ
constexpr unsigned long kGetNumber = 0x80045430;      // TIOCGPTN
constexpr unsigned long kSetLock = 0x40045431;        // TIOCSPTLCK
constexpr unsigned long kGetLock = 0x80045439;        // TIOCGPTLCK
constexpr unsigned long kGetDevice = 0x80045432;      // TIOCGDEV
constexpr unsigned long kGetExclusive = 0x80045440;   // TIOCGEXCL
constexpr unsigned long kSetExclusive = 0x540C;       // TIOCEXCL
constexpr unsigned long kSetPacketMode = 0x5420;      // TIOCPKT
constexpr unsigned long kGetPacketMode = 0x80045438;  // TIOCGPKT
constexpr unsigned long kOpenSlave = 0x5441;          // TIOCGPTPEER
constexpr unsigned long kGetSession = 0x5429;         // TIOCGSID
constexpr unsigned long kGetForeground = 0x540F;      // TIOCGPGRP
constexpr unsigned long kSetForeground = 0x5410;      // TIOCSPGRP
constexpr unsigned long kSetControlling = 0x540E;     // TIOCSCTTY
constexpr std::size_t kSizeOfSize = 8;                // struct winsize
constexpr unsigned kMasterMajor = 5;
constexpr unsigned kFirstSlaveMajor = 136;
constexpr unsigned kLastSlaveMajor = 143;
constexpr int kKept = O_ACCMODE | O_NONBLOCK;
constexpr int kMostTerminals = 4096;

bool is_slave(unsigned device_major) {
  return device_major >= kFirstSlaveMajor && device_major <= kLastSlaveMajor;
}
int number_of(dev_t device) {
  return static_cast<int>((gnu_dev_major(device) - kFirstSlaveMajor) * 256 + gnu_dev_minor(device));
}

struct CollectedPty {
  bool has_master = false;
  bool has_slave = false;
  VirtualPid vpid;
  int fd = -1;
  std::string link;
};

struct MadePty {
  UniqueFd master;
  bool in_image = false;  // the master
};

// A pseudo-terminal with this number, if nobody else has it: the kernel gives the lowest free one.
Result<UniqueFd> open_master(int number) {
  std::vector<UniqueFd> lower;
  for (int i = 0; i < kMostTerminals; ++i) {
    UniqueFd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    int got = 0;
    if (!master || ::ioctl(master.get(), kGetNumber, &got) != 0) {
      if (!lower.empty()) {
        break;
      }
      return Error::from_errno("make a pseudo-terminal");
    }
    if (got == number) {
      return master;
    }
    lower.push_back(std::move(master));
    if (got > number) {
      break;
    }
  }
  return std::move(lower.front());
}

Result<MadePty*> pty_of(MakeContext& context, int number) {
  auto& pty = context.parts.get<MadePty>("pty", static_cast<std::uint64_t>(number));
  if (!pty.master) {
    BEAM_TRY_ASSIGN(pty.master, open_master(number));
    const int unlocked = 0;
    if (::ioctl(pty.master.get(), kSetLock, &unlocked) != 0) {
      return Error::from_errno("unlock a pseudo-terminal");
    }
  }
  return &pty;
}

Result<UniqueFd> open_slave(int master, int flags) {
  UniqueFd slave(::ioctl(master, kOpenSlave, flags | O_NOCTTY | O_CLOEXEC));
  return slave ? Result<UniqueFd>(std::move(slave)) : Error::from_errno("open a pseudo-terminal");
}

class PtyMaster : public KindOf<PtyMasterState> {
 public:
  std::string_view name() const override { return "pty_master"; }
  int order() const override { return 70; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISCHR(file.info.st_mode) && file.info.st_rdev == ::makedev(kMasterMajor, 2) && (file.flags & O_PATH) == 0;
  }
  bool relates() const override { return true; }

 protected:
  Result<PtyMasterState> collect_state(CollectContext& context, const OpenFile& file) const override {
    PtyMasterState state;
    const int fd = file.copy.get();
    state.flags = file.flags & kKept;
    int value = 0;
    if (::ioctl(fd, kGetNumber, &state.number) != 0) {
      return Error::from_errno("read the number of a pseudo-terminal");
    }
    state.packet_mode = ::ioctl(fd, kGetPacketMode, &value) == 0 && value != 0;
    state.locked = ::ioctl(fd, kGetLock, &value) == 0 && value != 0;
    state.exclusive = ::ioctl(fd, kGetExclusive, &value) == 0 && value != 0;
    context.parts.get<CollectedPty>("pty", static_cast<std::uint64_t>(state.number)).has_master = true;
    return state;
  }

  Result<> relate_state(CollectContext& context, const OpenFile& file, PtyMasterState& state) const override {
    const int master = file.copy.get();
    state.modes.resize(sizeof(termios2));
    state.size.resize(kSizeOfSize);
    if (::ioctl(master, kGetModes, state.modes.data()) != 0 || ::ioctl(master, kGetSize, state.size.data()) != 0) {
      return Error::from_errno("read the modes of a pseudo-terminal");
    }
    const auto& pids = context.shared.pids;
    int id = 0;
    if (::ioctl(master, kGetSession, &id) == 0 && id > 0) {
      state.session = pids.to_virtual(HostPid(id)).value();
    }
    if (::ioctl(master, kGetForeground, &id) == 0 && id > 0) {
      state.foreground = pids.to_virtual(HostPid(id)).value();
    }
    pollfd poll{master, 0, 0};
    state.slave_closed = ::poll(&poll, 1, 0) >= 0 && (poll.revents & POLLHUP) != 0;
    state.slave_open = context.parts.get<CollectedPty>("pty", static_cast<std::uint64_t>(state.number)).has_slave;
    // One that nobody has opened yet stays so: to open it and close it again would show.
    if (!context.contents() || (!state.slave_open && !state.slave_closed) || state.locked) {
      return success();
    }
    BEAM_TRY_ASSIGN(const UniqueFd slave, open_slave(master, O_RDWR | O_NONBLOCK));
    termios2 modes{};
    std::memcpy(&modes, state.modes.data(), sizeof modes);
    int packet_mode = 0;
    ::ioctl(master, kSetPacketMode, &packet_mode);
    auto contents = take_pty(master, slave.get());
    const Result<> filled = contents.ok() ? fill_pty(master, slave.get(), *contents, modes) : success();
    packet_mode = state.packet_mode ? 1 : 0;
    ::ioctl(master, kSetPacketMode, &packet_mode);
    if (!contents.ok()) {
      return std::move(contents).error();
    }
    BEAM_TRY(filled);
    state.lines = std::move(contents->lines);
    state.partial = std::move(contents->partial);
    state.output = std::move(contents->output);
    return success();
  }

  Result<> check_state(const ImageFacts& /*facts*/, const PtyMasterState& state) const override {
    return state.modes.size() == sizeof(termios2) && state.size.size() == kSizeOfSize && state.number >= 0
               ? success()
               : Result<>(Error(kDamaged, "its modes have a wrong size"));
  }
  Result<UniqueFd> make_from(MakeContext& context, const PtyMasterState& state) const override {
    BEAM_TRY_ASSIGN(MadePty * pty, pty_of(context, state.number));
    pty->in_image = true;
    UniqueFd fd(::fcntl(pty->master.get(), F_DUPFD_CLOEXEC, 3));
    if (!fd) {
      return Error::from_errno("make a pseudo-terminal");
    }
    return fd;
  }

  Result<> link_from(LinkContext& context, const PtyMasterState& state, int fd) const override {
    termios2 modes{};
    std::memcpy(&modes, state.modes.data(), sizeof modes);
    if (state.slave_open || state.slave_closed) {
      BEAM_TRY_ASSIGN(const UniqueFd slave, open_slave(fd, O_RDWR | O_NONBLOCK));
      BEAM_TRY(fill_pty(fd, slave.get(), {state.lines, state.partial, state.output}, modes));
    } else if (::ioctl(fd, kSetModes, &modes) != 0) {
      return Error::from_errno("set the modes of a pseudo-terminal");
    }
    if (::ioctl(fd, kSetSize, state.size.data()) != 0) {
      return Error::from_errno("set the size of a pseudo-terminal");
    }
    BEAM_TRY(set_session(context, state, fd));
    const int on = 1;
    if ((state.packet_mode && ::ioctl(fd, kSetPacketMode, &on) != 0) ||
        (state.locked && ::ioctl(fd, kSetLock, &on) != 0) || (state.exclusive && ::ioctl(fd, kSetExclusive) != 0) ||
        ::fcntl(fd, F_SETFL, state.flags & O_NONBLOCK) != 0) {
      return Error::from_errno("set up a pseudo-terminal");
    }
    return success();
  }

 private:
  // A session gets its controlling terminal by its leader alone (tty_ioctl(2)).
  static Result<> set_session(LinkContext& context, const PtyMasterState& state, int fd) {
    interpose::Task* leader = state.session != 0 ? context.task(VirtualPid(state.session)) : nullptr;
    if (leader == nullptr) {
      return success();
    }
    int number = 0;
    ::ioctl(fd, kGetNumber, &number);
    const std::string path = "/dev/pts/" + std::to_string(number);
    Remote remote(*leader);
    BEAM_TRY(remote.map_scratch(4096));
    const Result<> done = [&]() -> Result<> {
      BEAM_TRY_ASSIGN(const auto at, remote.put_bytes(path.c_str(), path.size() + 1));
      BEAM_TRY_ASSIGN(const auto there,
                      remote.call("open its terminal", SYS_openat, static_cast<std::uint64_t>(AT_FDCWD), at,
                                  O_RDWR | O_NOCTTY | O_CLOEXEC, 0));
      BEAM_TRY(remote.call("take its controlling terminal", SYS_ioctl, there, kSetControlling, 0));
      const HostPid group =
          state.foreground != 0 ? context.shared.pids.to_host(VirtualPid(state.foreground)) : HostPid();
      if (group != HostPid()) {
        BEAM_TRY_ASSIGN(const auto group_at, remote.put(group.value()));
        BEAM_TRY(remote.call("set the foreground group", SYS_ioctl, there, kSetForeground, group_at));
      }
      BEAM_TRY(remote.call("close", SYS_close, there));
      return success();
    }();
    BEAM_TRY(remote.unmap_scratch());
    return done;
  }
};

class PtySlave : public KindOf<PtySlaveState> {
 public:
  std::string_view name() const override { return "pty_slave"; }
  int order() const override { return 70; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return (file.flags & O_PATH) == 0 && S_ISCHR(file.info.st_mode) && is_slave(gnu_dev_major(device_of(file)));
  }

  void check_all(CollectContext& context, std::vector<Obstacle>& obstacles) const override {
    context.parts.for_each<CollectedPty>("pty", [&](std::uint64_t, const CollectedPty& pty) {
      if (pty.has_slave && !pty.has_master) {
        obstacles.push_back({pty.vpid.value(), "fd " + std::to_string(pty.fd) + " (" + pty.link + ")",
                             "the other end of the terminal is outside the sandbox"});
      }
    });
  }
  // Before anything runs: a terminal whose master is not in the image has been hung up.
  Result<> link_all(LinkContext& context) const override {
    context.made.parts.for_each<MadePty>("pty", [](std::uint64_t, MadePty& pty) { pty.master.reset(); });
    return success();
  }

 protected:
  Result<PtySlaveState> collect_state(CollectContext& context, const OpenFile& file) const override {
    PtySlaveState state;
    state.number = number_of(device_of(file));
    state.flags = file.flags & kKept;
    unsigned char size[kSizeOfSize];
    state.hung_up = ::ioctl(file.copy.get(), kGetSize, size) != 0 && errno == EIO;
    if (!state.hung_up) {
      auto& pty = context.parts.get<CollectedPty>("pty", static_cast<std::uint64_t>(state.number));
      pty.has_slave = true;
      pty.vpid = file.vpid;
      pty.fd = file.fd;
      pty.link = file.link;
    }
    return state;
  }
  Result<UniqueFd> make_from(MakeContext& context, const PtySlaveState& state) const override {
    if (state.hung_up) {
      BEAM_TRY_ASSIGN(const UniqueFd master, open_master(state.number));
      const int unlocked = 0;
      ::ioctl(master.get(), kSetLock, &unlocked);
      return open_slave(master.get(), state.flags & kKept);  // the master's end hangs it up
    }
    BEAM_TRY_ASSIGN(MadePty * pty, pty_of(context, state.number));
    return open_slave(pty->master.get(), state.flags & kKept);
  }

 private:
  // /dev/tty stands for whichever it was when it was opened.
  static dev_t device_of(const OpenFile& file) {
    if (file.info.st_rdev != ::makedev(kMasterMajor, 0)) {
      return file.info.st_rdev;
    }
    unsigned device = 0;  // the kernel's encoding (new_encode_dev)
    if (::ioctl(file.copy.get(), kGetDevice, &device) != 0) {
      return file.info.st_rdev;
    }
    return ::makedev((device >> 8U) & 0xfffU, (device & 0xffU) | ((device >> 12U) & 0xfff00U));
  }
};

const KindRegistration kMasterRegistration{std::make_unique<PtyMaster>()};
const KindRegistration kSlaveRegistration{std::make_unique<PtySlave>()};

}  // namespace
}  // namespace beam::migrate
