// pipe(2): both ends, what has been written but not read, the capacity, packet mode.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "migrate/object_kind.h"

namespace beam::migrate {

// One description of a pipe's end. The contents are with the end that was collected first.
struct PipeEndState {
  std::uint64_t pipe = 0;  // the same for all ends of one pipe
  std::int32_t flags = 0;
  std::uint32_t capacity = 0;
  std::vector<std::uint8_t> unread;
  std::vector<std::uint32_t> packets;  // sizes, of a pipe in packet mode
};
BEAM_STATE(PipeEndState, 1, pipe, flags, capacity, unread, packets)

namespace {

constexpr int kKept = O_ACCMODE | O_NONBLOCK | O_ASYNC | O_DIRECT;

struct CollectedPipe {
  bool contents_taken = false;
  bool has_reader = false;
  bool has_writer = false;
  bool other_end_open = false;  // of the descriptions that were collected: somebody has the other end
  VirtualPid vpid;
  int fd = -1;
};

struct MadePipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<std::vector<std::uint8_t>> read_without_taking(int pipe, std::uint32_t capacity) {
  int unread = 0;
  if (::ioctl(pipe, FIONREAD, &unread) != 0) {
    return Error::from_errno("see what a pipe holds");
  }
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(unread));
  if (unread == 0) {
    return bytes;
  }
  int copy_ends[2];
  if (::pipe2(copy_ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error::from_errno("make a pipe");
  }
  const UniqueFd copy_read(copy_ends[0]);
  const UniqueFd copy_write(copy_ends[1]);
  // tee(2) copies buffers, not bytes: the copy needs as many of them as the original has.
  if (::fcntl(copy_write.get(), F_SETPIPE_SZ, capacity) < 0) {
    return Error::from_errno("make a pipe as large as the frozen one");
  }
  const ssize_t copied = ::tee(pipe, copy_write.get(), bytes.size(), SPLICE_F_NONBLOCK);
  if (copied != unread) {
    return Error(copied < 0 ? errno : EIO, "copy what a pipe holds");
  }
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::read(copy_read.get(), bytes.data() + got, bytes.size() - got);
    if (n <= 0) {
      return Error(n < 0 ? errno : EIO, "copy what a pipe holds");
    }
    got += static_cast<std::size_t>(n);
  }
  return bytes;
}

class Pipe : public KindOf<PipeEndState> {
 public:
  std::string_view name() const override { return "pipe"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISFIFO(file.info.st_mode) && file.link.starts_with("pipe:");
  }

 protected:
  Result<PipeEndState> collect_state(CollectContext& context, const OpenFile& file) const override {
    PipeEndState state;
    state.pipe = file.info.st_ino;
    state.flags = file.flags & kKept;
    const int capacity = ::fcntl(file.copy.get(), F_GETPIPE_SZ);
    if (capacity < 0) {
      return Error::from_errno("see how large a pipe is");
    }
    state.capacity = static_cast<std::uint32_t>(capacity);
    auto& pipe = context.parts.get<CollectedPipe>(name(), state.pipe);
    pipe.vpid = file.vpid;
    pipe.fd = file.fd;
    const int access = state.flags & O_ACCMODE;
    pipe.has_reader |= access != O_WRONLY;
    pipe.has_writer |= access != O_RDONLY;
    pollfd poll{file.copy.get(), 0, 0};
    pipe.other_end_open |= ::poll(&poll, 1, 0) >= 0 && (poll.revents & (POLLHUP | POLLERR)) == 0;
    if (context.contents && !pipe.contents_taken) {
      pipe.contents_taken = true;
      // A pair of ends is not needed to look: any end reads when it is opened again.
      const std::string path = "/proc/self/fd/" + std::to_string(file.copy.get());
      const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
      if (!reader) {
        return Error::from_errno("read a pipe");
      }
      BEAM_TRY_ASSIGN(state.unread, read_without_taking(reader.get(), state.capacity));
      if ((state.flags & O_DIRECT) != 0 && !state.unread.empty()) {
        return Error(kObstacle, "a pipe in packet mode with unread packets");
      }
    }
    return state;
  }

  void check_all(CollectContext& context, std::vector<Obstacle>& obstacles) const override {
    context.parts.for_each<CollectedPipe>(name(), [&](std::uint64_t key, const CollectedPipe& pipe) {
      if (pipe.other_end_open && !(pipe.has_reader && pipe.has_writer)) {
        obstacles.push_back({pipe.vpid.value(), "fd " + std::to_string(pipe.fd) + " (pipe:[" + std::to_string(key) + "])",
                             "the other end of the pipe is outside the sandbox"});
      }
    });
  }

  Result<UniqueFd> make_from(MakeContext& context, const PipeEndState& state) const override {
    auto& pipe = context.parts.get<MadePipe>(name(), state.pipe);
    if (!pipe.read_end) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) {
        return Error::from_errno("make a pipe");
      }
      pipe.read_end.reset(ends[0]);
      pipe.write_end.reset(ends[1]);
      if (::fcntl(ends[1], F_SETPIPE_SZ, state.capacity) < 0) {
        return Error::from_errno("make a pipe of " + std::to_string(state.capacity) + " bytes")
            .remedy("see fs.pipe-user-pages-soft and fs.pipe-max-size");
      }
    }
    if (!state.unread.empty()) {
      ::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK);
      if (::write(pipe.write_end.get(), state.unread.data(), state.unread.size()) !=
          static_cast<ssize_t>(state.unread.size())) {
        return Error(errno != 0 ? errno : EIO, "refill a pipe");
      }
      ::fcntl(pipe.write_end.get(), F_SETFL, 0);
    }
    // Each description is one of its own: opened by way of the first pair, which is closed with the context.
    const int access = state.flags & O_ACCMODE;
    const std::string path =
        "/proc/self/fd/" + std::to_string(access == O_WRONLY ? pipe.write_end.get() : pipe.read_end.get());
    UniqueFd fd(::open(path.c_str(), (state.flags & kKept) | O_NONBLOCK | O_CLOEXEC));
    if (!fd || ::fcntl(fd.get(), F_SETFL, state.flags & (O_NONBLOCK | O_ASYNC | O_DIRECT)) != 0) {
      return Error::from_errno("open the end of a pipe");
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<Pipe>()};

}  // namespace
}  // namespace beam::migrate
