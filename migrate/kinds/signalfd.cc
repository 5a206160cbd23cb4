// signalfd(2): a mask. The signals themselves are with the processes and threads that they are queued for.
#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct SignalfdState {
  std::uint64_t mask = 0;
  std::int32_t flags = 0;
};
BEAM_STATE(SignalfdState, 1, mask, flags)

namespace {

class Signalfd : public KindOf<SignalfdState> {
 public:
  std::string_view name() const override { return "signalfd"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link == "anon_inode:[signalfd]";
  }
  bool traps_reads(std::string_view /*state*/) const override { return true; }

 protected:
  Result<SignalfdState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    const auto mask = info_value(file.fdinfo, "sigmask");
    if (mask.empty()) {
      return Error(kObstacle, "a signalfd whose mask this kernel does not show");
    }
    SignalfdState state;
    std::from_chars(mask.data(), mask.data() + mask.size(), state.mask, 16);
    state.flags = file.flags & O_NONBLOCK;
    return state;
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const SignalfdState& state) const override {
    UniqueFd fd(static_cast<int>(
        ::syscall(SYS_signalfd4, -1, &state.mask, sizeof state.mask, SFD_CLOEXEC | (state.flags & O_NONBLOCK))));
    if (!fd) {
      return Error::from_errno("make a signalfd");
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<Signalfd>()};

}  // namespace
}  // namespace beam::migrate
