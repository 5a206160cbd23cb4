// eventfd(2): a counter, and how reads take from it.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct EventfdState {
  std::uint64_t count = 0;
  bool semaphore = false;
  std::int32_t flags = 0;
};
BEAM_STATE(EventfdState, 1, count, semaphore, flags)

namespace {

class Eventfd : public KindOf<EventfdState> {
 public:
  std::string_view name() const override { return "eventfd"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link == "anon_inode:[eventfd]";
  }

 protected:
  Result<EventfdState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    const auto count = info_value(file.fdinfo, "eventfd-count");
    if (count.empty()) {
      return Error(kObstacle, "an eventfd whose count this kernel does not show");
    }
    EventfdState state;
    std::from_chars(count.data(), count.data() + count.size(), state.count, 16);
    const auto semaphore = info_value(file.fdinfo, "eventfd-semaphore");
    if (semaphore.empty()) {
      return Error(kObstacle, "an eventfd whose mode this kernel does not show").remedy("use Linux 6.5 or newer");
    }
    state.semaphore = semaphore == "1";
    state.flags = file.flags & (O_NONBLOCK | O_ASYNC);
    return state;
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const EventfdState& state) const override {
    UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (state.semaphore ? EFD_SEMAPHORE : 0)));
    if (!fd) {
      return Error::from_errno("make an eventfd");
    }
    // The count 2^64 - 1 is only ever reached by the kernel's own additions (fs/eventfd.c); a write takes one less.
    if (state.count == UINT64_MAX) {
      return Error(EINVAL, "make an eventfd with an impossible count");
    }
    if (state.count != 0 && ::write(fd.get(), &state.count, sizeof state.count) != sizeof state.count) {
      return Error::from_errno("set the count of an eventfd");
    }
    if (::fcntl(fd.get(), F_SETFL, state.flags) != 0) {
      return Error::from_errno("set the flags of an eventfd");
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<Eventfd>()};

}  // namespace
}  // namespace beam::migrate
