// stdin, stdout and stderr that the sandbox was started with: their other end is outside, and belongs to whoever runs
// it. Thawed, they are the same streams of the thaw.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct ExternalStreamState {
  std::int32_t stream = 0;  // -1: none any more
  std::int32_t access = 0;  // O_RDONLY, O_WRONLY, O_RDWR
};
BEAM_STATE(ExternalStreamState, 1, stream, access)

namespace {

constexpr int kNoStream = -1;  // thawed: /dev/null
constexpr int kNotOne = -2;

class ExternalStream : public KindOf<ExternalStreamState> {
 public:
  std::string_view name() const override { return "external_stream"; }
  // Before the kind that the stream is by nature.
  int order() const override { return 0; }
  bool recognises(const CollectContext& context, const OpenFile& file) const override {
    return stream_of(context, file) != kNotOne;
  }

 protected:
  Result<ExternalStreamState> collect_state(CollectContext& context, const OpenFile& file) const override {
    return ExternalStreamState{stream_of(context, file), file.flags & O_ACCMODE};
  }
  Result<UniqueFd> make_from(MakeContext& context, const ExternalStreamState& state) const override {
    if (state.stream < kNoStream || state.stream > 2) {
      return Error(kDamaged, "no such stream");
    }
    const int stream = state.stream == kNoStream ? -1 : context.stdio[static_cast<std::size_t>(state.stream)];
    UniqueFd fd(stream >= 0 ? ::fcntl(stream, F_DUPFD_CLOEXEC, 3) : ::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!fd) {
      return Error::from_errno("connect stream " + std::to_string(state.stream));
    }
    return fd;
  }

 private:
  static int stream_of(const CollectContext& context, const OpenFile& file) {
    const int stream = stream_among(context.stdio, file);
    if (stream != kNotOne || context.later_stdio == nullptr) {
      return stream;
    }
    for (const auto& streams : *context.later_stdio) {
      if (const int later = stream_among(streams, file); later != kNotOne) {
        // Input of the thaw is for the sandbox's own command.
        return later == 0 ? kNoStream : later;
      }
    }
    return kNotOne;
  }

  static int stream_among(const std::array<int, 3>& streams, const OpenFile& file) {
    const pid_t self = ::getpid();
    for (int i = 0; i < 3; ++i) {
      const int stream = streams[static_cast<std::size_t>(i)];
      if (stream >= 0 && ::syscall(SYS_kcmp, self, self, KCMP_FILE, stream, file.copy.get()) == 0) {
        return i;
      }
    }
    // The same pipe or socket: by a descriptor that only names it, or opened again by way of /dev/stdout. Of several
    // streams that are the same, the one of the descriptor's own number is the likeliest.
    if (file.fd <= 2 && same_pipe(streams, file.fd, file)) {
      return file.fd;
    }
    for (int i = 0; i < 3; ++i) {
      if (same_pipe(streams, i, file)) {
        return i;
      }
    }
    return kNotOne;
  }

  static bool same_pipe(const std::array<int, 3>& streams, int which, const OpenFile& file) {
    const int stream = streams[static_cast<std::size_t>(which)];
    struct stat info {};
    if (stream < 0 || ::fstat(stream, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) ||
        info.st_dev != file.info.st_dev || info.st_ino != file.info.st_ino) {
      return false;
    }
    const int flags = ::fcntl(stream, F_GETFL);
    const int access = file.flags & O_ACCMODE;
    return (flags & O_PATH) != 0 ? access == O_RDWR || (access == O_RDONLY) == (which == 0)
                                 : (flags & O_ACCMODE) == access;
  }
};

const KindRegistration kRegistration{std::make_unique<ExternalStream>()};

}  // namespace
}  // namespace beam::migrate
