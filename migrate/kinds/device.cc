// Devices that hold no state of their own: opened again.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct DeviceState {
  std::string path;
  std::int32_t flags = 0;
};
BEAM_STATE(DeviceState, 1, path, flags)

namespace {

struct KnownDevice {
  unsigned major;
  unsigned minor;
  const char* path;
};
constexpr std::array<KnownDevice, 5> kKnown{{
    {1, 3, "/dev/null"},
    {1, 5, "/dev/zero"},
    {1, 7, "/dev/full"},
    {1, 8, "/dev/random"},
    {1, 9, "/dev/urandom"},
}};
constexpr int kKept = O_ACCMODE | O_APPEND | O_NONBLOCK | O_PATH | O_SYNC | O_DSYNC | O_DIRECT;

const KnownDevice* known(const struct stat& info) {
  const auto it = std::find_if(kKnown.begin(), kKnown.end(), [&](const KnownDevice& device) {
    return S_ISCHR(info.st_mode) && info.st_rdev == ::makedev(device.major, device.minor);
  });
  return it == kKnown.end() ? nullptr : it;
}

class Device : public KindOf<DeviceState> {
 public:
  std::string_view name() const override { return "device"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return known(file.info) != nullptr;
  }

 protected:
  Result<DeviceState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    return DeviceState{known(file.info)->path, file.flags & kKept};
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const DeviceState& state) const override {
    // The path comes from the image: only a device of the list may be behind it.
    UniqueFd fd(::open(state.path.c_str(), (state.flags & kKept) | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
      return Error::from_errno("open " + state.path);
    }
    if (known(info) == nullptr) {
      return Error(ENODEV, "open " + state.path);
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<Device>()};

}  // namespace
}  // namespace beam::migrate
