// stdin, stdout and stderr that the sandbox was started with: their other end is outside, and belongs to whoever runs it.
// Thawed, they are the same streams of the thaw.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct ExternalStreamState {
  std::int32_t stream = 0;
  std::int32_t access = 0;  // O_RDONLY, O_WRONLY, O_RDWR
};
BEAM_STATE(ExternalStreamState, 1, stream, access)

namespace {

class ExternalStream : public KindOf<ExternalStreamState> {
 public:
  std::string_view name() const override { return "external_stream"; }
  // Before the kind that the stream is by nature.
  int order() const override { return 0; }
  bool recognises(const CollectContext& context, const OpenFile& file) const override {
    return stream_of(context, file) >= 0;
  }

 protected:
  Result<ExternalStreamState> collect_state(CollectContext& context, const OpenFile& file) const override {
    return ExternalStreamState{stream_of(context, file), file.flags & O_ACCMODE};
  }
  Result<UniqueFd> make_from(MakeContext& context, const ExternalStreamState& state) const override {
    if (state.stream < 0 || state.stream > 2) {
      return Error(EINVAL, "no such stream");
    }
    const int stream = context.stdio[static_cast<std::size_t>(state.stream)];
    UniqueFd fd(stream >= 0 ? ::fcntl(stream, F_DUPFD_CLOEXEC, 3) : ::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!fd) {
      return Error::from_errno("connect stream " + std::to_string(state.stream));
    }
    return fd;
  }

 private:
  static int stream_of(const CollectContext& context, const OpenFile& file) {
    const pid_t self = ::getpid();
    for (int i = 0; i < 3; ++i) {
      const int stream = context.stdio[static_cast<std::size_t>(i)];
      if (stream >= 0 && ::syscall(SYS_kcmp, self, self, KCMP_FILE, stream, file.copy.get()) == 0) {
        return i;
      }
    }
    // Opened again by way of /dev/stdout: another description of the same pipe or terminal.
    for (int i = 0; i < 3; ++i) {
      const int stream = context.stdio[static_cast<std::size_t>(i)];
      struct stat info {};
      if (stream >= 0 && ::fstat(stream, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) &&
          info.st_dev == file.info.st_dev && info.st_ino == file.info.st_ino &&
          ((::fcntl(stream, F_GETFL) ^ file.flags) & O_ACCMODE) == 0) {
        return i;
      }
    }
    return -1;
  }
};

const KindRegistration kRegistration{std::make_unique<ExternalStream>()};

}  // namespace
}  // namespace beam::migrate
