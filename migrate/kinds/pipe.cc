// pipe(2) and fifo(7): ends, what has been written but not read, the capacity, packet mode.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "migrate/image_path.h"
#include "migrate/object_kind.h"

namespace beam::migrate {

// One description of a pipe's end. The contents are with the end that was collected first.
struct PipeEndState {
  std::uint64_t pipe = 0;  // the same for all ends of one pipe
  std::int32_t flags = 0;
  std::uint32_t capacity = 0;
  std::vector<std::uint8_t> unread;
  std::vector<std::uint32_t> packets;  // sizes, where reads stop at them
  std::string path;                    // of a FIFO
  bool removed = false;                // it has no path any more
  bool hung_up = false;                // a reader that has had a writer, and has none
};
BEAM_STATE(PipeEndState, 1, pipe, flags, capacity, unread, packets, path, removed, hung_up)

namespace {

constexpr int kKept = O_ACCMODE | O_NONBLOCK | O_DIRECT;
constexpr std::string_view kDeleted = " (deleted)";

struct CollectedPipe {
  bool contents_taken = false;
  bool has_reader = false;
  bool has_writer = false;
  bool other_end_open = false;  // of the descriptions that were collected: somebody has the other end
  VirtualPid vpid;
  int fd = -1;
  std::string link;
};

// The ends by which descriptions are opened; they are closed with the context, before anything runs.
struct MadePipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

std::string own_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

struct Contents {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint32_t> packets;
};

Result<Contents> read_without_taking(int pipe, std::uint32_t capacity) {
  int unread = 0;
  if (::ioctl(pipe, FIONREAD, &unread) != 0) {
    return Error::from_errno("see what a pipe holds");
  }
  Contents contents;
  contents.bytes.resize(static_cast<std::size_t>(unread));
  if (unread == 0) {
    return contents;
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
  const ssize_t copied = ::tee(pipe, copy_write.get(), contents.bytes.size(), SPLICE_F_NONBLOCK);
  if (copied != unread) {
    return Error(copied < 0 ? errno : EIO, "copy what a pipe holds");
  }
  // A packet ends the read that reaches it, whatever the mode of the reader (pipe(2), O_DIRECT).
  std::size_t got = 0;
  while (got < contents.bytes.size()) {
    const ssize_t n = ::read(copy_read.get(), contents.bytes.data() + got, contents.bytes.size() - got);
    if (n <= 0) {
      return Error(n < 0 ? errno : EIO, "copy what a pipe holds");
    }
    got += static_cast<std::size_t>(n);
    contents.packets.push_back(static_cast<std::uint32_t>(n));
  }
  return contents;
}

class Pipe : public KindOf<PipeEndState> {
 public:
  std::string_view name() const override { return "pipe"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISFIFO(file.info.st_mode);
  }

  Result<> link_all(LinkContext& context) const override {
    context.made.parts.for_each<MadePipe>(name(), [](std::uint64_t, MadePipe& pipe) { pipe = {}; });
    return success();
  }

  void check_all(CollectContext& context, std::vector<Obstacle>& obstacles) const override {
    context.parts.for_each<CollectedPipe>(name(), [&](std::uint64_t, const CollectedPipe& pipe) {
      if (pipe.other_end_open && !(pipe.has_reader && pipe.has_writer)) {
        obstacles.push_back({pipe.vpid.value(), "fd " + std::to_string(pipe.fd) + " (" + pipe.link + ")",
                             "the other end of the pipe is outside the sandbox"});
      }
    });
  }

 protected:
  Result<PipeEndState> collect_state(CollectContext& context, const OpenFile& file) const override {
    PipeEndState state;
    // The kernel's own numbers, so those of FIFOs on several file systems may meet.
    state.pipe = file.info.st_ino ^ (static_cast<std::uint64_t>(file.info.st_dev) << 40U);
    state.flags = file.flags & kKept;
    if (file.link.starts_with('/')) {
      state.path = file.link;
      state.removed = file.info.st_nlink == 0;
      if (state.removed && state.path.ends_with(kDeleted)) {
        state.path.resize(state.path.size() - kDeleted.size());
      }
      struct stat found {};
      if (!state.removed && (::lstat(state.path.c_str(), &found) != 0 || found.st_ino != file.info.st_ino)) {
        return Error(kObstacle, "a FIFO that its path leads to no more");
      }
      state.path = to_image_path(context.shared, state.path);
    }
    const int capacity = ::fcntl(file.copy.get(), F_GETPIPE_SZ);
    if (capacity < 0) {
      return Error::from_errno("see how large a pipe is");
    }
    state.capacity = static_cast<std::uint32_t>(capacity);
    auto& pipe = context.parts.get<CollectedPipe>(name(), state.pipe);
    pipe.vpid = file.vpid;
    pipe.fd = file.fd;
    pipe.link = file.link;
    const int access = state.flags & O_ACCMODE;
    pipe.has_reader |= access != O_WRONLY;
    pipe.has_writer |= access != O_RDONLY;
    pollfd poll{file.copy.get(), 0, 0};
    const bool polled = ::poll(&poll, 1, 0) >= 0;
    state.hung_up = access == O_RDONLY && polled && (poll.revents & POLLHUP) != 0;
    // A reader of a FIFO that no writer has opened yet is not hung up either.
    const bool waits = !state.path.empty() && access == O_RDONLY && !state.hung_up && !has_writer(file.copy.get());
    pipe.other_end_open |= polled && (poll.revents & (POLLHUP | POLLERR)) == 0 && !waits;
    if (context.contents() && !pipe.contents_taken) {
      pipe.contents_taken = true;
      // A pair of ends is not needed to look: any end reads when it is opened again.
      const UniqueFd reader(::open(own_path(file.copy.get()).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
      if (!reader) {
        return Error::from_errno("read a pipe");
      }
      BEAM_TRY_ASSIGN(auto contents, read_without_taking(reader.get(), state.capacity));
      state.unread = std::move(contents.bytes);
      if (contents.packets.size() > 1 || (state.flags & O_DIRECT) != 0) {
        state.packets = std::move(contents.packets);
      }
    }
    return state;
  }

  Result<> check_state(const ImageFacts& /*facts*/, const PipeEndState& state) const override {
    std::uint64_t sum = 0;
    for (const std::uint32_t packet : state.packets) {
      sum += packet;
    }
    return state.packets.empty() || sum == state.unread.size()
               ? success()
               : Result<>(Error(kDamaged, "its packets are not what is in it"));
  }
  Result<UniqueFd> make_from(MakeContext& context, const PipeEndState& state) const override {
    auto& pipe = context.parts.get<MadePipe>(name(), state.pipe);
    const int access = state.flags & O_ACCMODE;
    const bool lone_reader = !state.path.empty() && !state.removed && access == O_RDONLY && !state.hung_up;
    UniqueFd fd;
    const std::string path = from_image_path(*context.shared, state.path);
    if (!state.path.empty() && !pipe.read_end) {
      // Opened before there is a writer, a reader may go on waiting for the first one.
      if (lone_reader && state.unread.empty()) {
        fd.reset(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
        struct stat info {};
        if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISFIFO(info.st_mode)) {
          return Error(fd ? ESTALE : errno, "open the FIFO " + path);
        }
        return with_flags(std::move(fd), state);
      }
      BEAM_TRY(open_fifo(pipe, path, state.removed));
    }
    if (!pipe.read_end) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) {
        return Error::from_errno("make a pipe");
      }
      pipe.read_end.reset(ends[0]);
      pipe.write_end.reset(ends[1]);
    }
    const int capacity = ::fcntl(pipe.write_end.get(), F_GETPIPE_SZ);
    if (capacity != static_cast<int>(state.capacity) &&
        ::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, state.capacity) < 0) {
      return Error::from_errno("make a pipe of " + std::to_string(state.capacity) + " bytes")
          .remedy("see fs.pipe-user-pages-soft and fs.pipe-max-size");
    }
    BEAM_TRY(refill(pipe.write_end.get(), state));
    // Each description is one of its own: opened by way of the first pair.
    fd.reset(::open(own_path(access == O_WRONLY ? pipe.write_end.get() : pipe.read_end.get()).c_str(),
                    access | O_NONBLOCK | O_CLOEXEC));
    return with_flags(std::move(fd), state);
  }

 private:
  static bool has_writer(int reader) {
    // Without one, a read finds the end of the file (pipe(7)); a copy of nothing is enough to ask.
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
      return true;
    }
    const UniqueFd read_end(ends[0]);
    const UniqueFd write_end(ends[1]);
    return ::tee(reader, write_end.get(), 1, SPLICE_F_NONBLOCK) != 0;
  }

  static Result<UniqueFd> with_flags(UniqueFd fd, const PipeEndState& state) {
    if (!fd || ::fcntl(fd.get(), F_SETFL, state.flags & (O_NONBLOCK | O_DIRECT)) != 0) {
      return Error::from_errno("open the end of a pipe");
    }
    return fd;
  }

  static Result<> open_fifo(MadePipe& pipe, const std::string& wanted, bool removed) {
    std::string path = wanted;
    if (removed) {
      for (int i = 1; ::mkfifo(path.c_str(), 0600) != 0; ++i) {
        if (errno != EEXIST || i > 100) {
          return Error::from_errno("make a FIFO for what " + wanted + " was");
        }
        path = wanted + ".beam-" + std::to_string(::getpid()) + "-" + std::to_string(i);
      }
    }
    // For both at once an open does not wait for the other end.
    pipe.read_end.reset(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    const int error = errno;
    if (removed) {
      ::unlink(path.c_str());
    }
    struct stat info {};
    if (!pipe.read_end || ::fstat(pipe.read_end.get(), &info) != 0 || !S_ISFIFO(info.st_mode)) {
      return Error(pipe.read_end ? ESTALE : error, "open the FIFO " + wanted);
    }
    pipe.write_end.reset(::open(own_path(pipe.read_end.get()).c_str(), O_WRONLY | O_CLOEXEC));
    return pipe.write_end ? success() : Result<>(Error::from_errno("open the FIFO " + wanted));
  }

  static Result<> refill(int fd, const PipeEndState& state) {
    std::vector<std::uint32_t> parts = state.packets;
    if (parts.empty() && !state.unread.empty()) {
      parts.push_back(static_cast<std::uint32_t>(state.unread.size()));
    }
    std::size_t done = 0;
    for (const std::uint32_t part : parts) {
      // No packet is larger than PIPE_BUF: what is, was written without.
      const bool packet = !state.packets.empty() && part <= PIPE_BUF;
      ::fcntl(fd, F_SETFL, O_NONBLOCK | (packet ? O_DIRECT : 0));
      if (::write(fd, state.unread.data() + done, part) != static_cast<ssize_t>(part)) {
        return Error(errno != 0 ? errno : EIO, "refill a pipe");
      }
      done += part;
    }
    ::fcntl(fd, F_SETFL, 0);
    return success();
  }
};

const KindRegistration kRegistration{std::make_unique<Pipe>()};

}  // namespace
}  // namespace beam::migrate
