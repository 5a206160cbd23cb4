// timerfd_create(2): what is left of the time, the interval, expirations that have not been read.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct TimerfdState {
  std::int32_t clock = 0;
  std::int32_t flags = 0;         // of the description
  std::int32_t set_flags = 0;     // of timerfd_settime(2)
  std::int64_t remaining_ns = 0;  // 0: not armed
  std::int64_t interval_ns = 0;
  std::uint64_t ticks = 0;
  std::int64_t deadline_ns = 0;  // by CLOCK_REALTIME, of a timer that was set to a time of day
};
BEAM_STATE(TimerfdState, 1, clock, flags, set_flags, remaining_ns, interval_ns, ticks, deadline_ns)

namespace {

#ifndef TFD_IOC_SET_TICKS
constexpr unsigned long TFD_IOC_SET_TICKS = _IOW('T', 0, std::uint64_t);
#endif
constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}
timespec time_of(std::int64_t ns) {
  return {ns / kSecond, ns % kSecond};
}
bool is_time_of_day(int clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
}

class Timerfd : public KindOf<TimerfdState> {
 public:
  std::string_view name() const override { return "timerfd"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link == "anon_inode:[timerfd]";
  }

 protected:
  Result<TimerfdState> collect_state(CollectContext& context, const OpenFile& file) const override {
    // Asking for the time lets the kernel count what has expired since the last read (fs/timerfd.c), so ask first.
    itimerspec left{};
    if (::timerfd_gettime(file.copy.get(), &left) != 0) {
      return Error::from_errno("read a timerfd");
    }
    TimerfdState state;
    state.remaining_ns = nanoseconds(left.it_value);
    state.interval_ns = nanoseconds(left.it_interval);
    state.flags = file.flags & O_NONBLOCK;
    BEAM_TRY_ASSIGN(const std::string info, own_info(file.copy.get()));
    const auto number = [&](const char* name, int base) {
      return std::strtoull(std::string(info_value(info, name)).c_str(), nullptr, base);
    };
    if (info_value(info, "clockid").empty()) {
      return Error(kObstacle, "a timerfd whose clock this kernel does not show");
    }
    state.clock = static_cast<std::int32_t>(number("clockid", 10));
    state.ticks = number("ticks", 10);
    state.set_flags = static_cast<std::int32_t>(number("settime flags", 8));
    if ((state.set_flags & TFD_TIMER_ABSTIME) != 0 && is_time_of_day(state.clock)) {
      timespec now{};
      ::clock_gettime(CLOCK_REALTIME, &now);
      state.deadline_ns = nanoseconds(now) + state.remaining_ns;
    }
    state.remaining_ns = context.left_when_begun(state.remaining_ns);
    return state;
  }

  Result<UniqueFd> make_from(MakeContext& /*context*/, const TimerfdState& state) const override {
    UniqueFd fd(::timerfd_create(state.clock, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!fd) {
      return Error::from_errno("make a timerfd of clock " + std::to_string(state.clock));
    }
    if (::fcntl(fd.get(), F_SETFL, state.flags & O_NONBLOCK) != 0) {
      return Error::from_errno("set the flags of a timerfd");
    }
    return fd;
  }

  // As late as can be: the time starts to run here.
  Result<> link_from(LinkContext& /*context*/, const TimerfdState& state, int fd) const override {
    if (state.remaining_ns != 0) {
      // A time of day stays one, however long the freeze was. The sandbox's other clocks stood still.
      const bool absolute = (state.set_flags & TFD_TIMER_ABSTIME) != 0 && is_time_of_day(state.clock);
      const itimerspec time{time_of(state.interval_ns), time_of(absolute ? state.deadline_ns : state.remaining_ns)};
      if (::timerfd_settime(fd, absolute ? state.set_flags : 0, &time, nullptr) != 0) {
        return Error::from_errno("set a timerfd");
      }
    }
    if (state.ticks != 0 && ::ioctl(fd, TFD_IOC_SET_TICKS, &state.ticks) != 0) {
      return Error::from_errno("set the expirations of a timerfd")
          .remedy("use a kernel with checkpoint support (CONFIG_CHECKPOINT_RESTORE)");
    }
    return success();
  }

 private:
  static Result<std::string> own_info(int fd) {
    const UniqueFd info(::open(("/proc/self/fdinfo/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
    char text[1024];
    const ssize_t size = info ? ::read(info.get(), text, sizeof text) : -1;
    if (size < 0) {
      return Error::from_errno("read what is known of a timerfd");
    }
    return std::string(text, static_cast<std::size_t>(size));
  }
};

const KindRegistration kRegistration{std::make_unique<Timerfd>()};

}  // namespace
}  // namespace beam::migrate
