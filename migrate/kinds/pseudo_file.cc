// Files of /proc, /sys and their like, whose contents the kernel makes up when they are read: opened again. One that
// belongs to a process is that of the recreated process.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "migrate/object_kind.h"
#include "rootfs/proc_path.h"

namespace beam::migrate {

struct PseudoFileState {
  std::string path;          // of one that belongs to a process: what follows /proc/PID
  std::int32_t process = 0;  // by virtual id
  std::int32_t thread = 0;   // the path then follows /proc/PID/task/TID
  std::int32_t flags = 0;
  std::int64_t offset = 0;
  bool ended = false;  // the process that it belonged to has ended: nothing can be read from it any more
};
BEAM_STATE(PseudoFileState, 1, path, process, thread, flags, offset, ended)

namespace {

constexpr int kKept = O_ACCMODE | O_APPEND | O_DIRECTORY | O_LARGEFILE | O_NOFOLLOW | O_NONBLOCK | O_PATH;
constexpr std::string_view kProc = "/proc/";
constexpr std::string_view kDeleted = " (deleted)";

bool is_pseudo(int fd) {
  struct statfs system {};
  if (::fstatfs(fd, &system) != 0) {
    return false;
  }
  switch (static_cast<unsigned long>(system.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
      return true;
    default:
      return false;
  }
}

// Takes a number from the start of `text`, with the '/' before it; 0: there is none.
pid_t take_number(std::string_view& text, std::string_view before) {
  if (!text.starts_with(before)) {
    return 0;
  }
  pid_t number = 0;
  const char* begin = text.data() + before.size();
  const auto [end, fault] = std::from_chars(begin, text.data() + text.size(), number);
  if (fault != std::errc() || number <= 0 || (end != text.data() + text.size() && *end != '/')) {
    return 0;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

class PseudoFile : public KindOf<PseudoFileState> {
 public:
  std::string_view name() const override { return "pseudo_file"; }
  int order() const override { return 80; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link.starts_with('/') && is_pseudo(file.copy.get());
  }
  bool made_after_processes(std::string_view bytes) const override {
    const auto state = decode<PseudoFileState>(bytes);
    return state.ok() && state->process != 0;
  }
  bool shows_mappings(std::string_view bytes) const override {
    const auto state = decode<PseudoFileState>(bytes);
    return state.ok() && state->process != 0 && rootfs::shows_mappings(state->path);
  }

 protected:
  Result<PseudoFileState> collect_state(CollectContext& context, const OpenFile& file) const override {
    PseudoFileState state;
    state.flags = file.flags & kKept;
    state.offset = file.offset;
    state.path = file.link;
    if (!state.path.starts_with(kProc)) {
      return state;
    }
    std::string_view rest(file.link);
    // Of one that has ended, the path leads to nothing, or to another process's.
    struct stat found {};
    if (::lstat(file.link.c_str(), &found) != 0 || found.st_ino != file.info.st_ino) {
      if (rest.ends_with(kDeleted)) {
        rest.remove_suffix(kDeleted.size());
      }
      state.ended = take_number(rest, kProc) != 0;
      const std::string_view whole = rest;
      const bool thread = take_number(rest, "/task/") != 0;
      state.path = thread && rest.empty() ? whole.substr(0, sizeof "/task" - 1) : rest;
      return state.ended ? Result<PseudoFileState>(state) : Error(kObstacle, "a file of /proc that has been removed");
    }
    const auto& pids = context.shared.pids;
    if (const pid_t process = take_number(rest, kProc); process != 0) {
      state.process = pids.to_virtual(HostPid(process)).value();
      if (state.process == 0) {
        return Error(kObstacle, "a file of a process that is not in the sandbox, or has ended");
      }
      if (const pid_t thread = take_number(rest, "/task/"); thread != 0) {
        state.thread = pids.to_virtual(HostPid(thread)).value();
        if (state.thread == 0) {
          return Error(kObstacle, "a file of a thread that has ended");
        }
      }
      state.path = rest;
    }
    return state;
  }
  Result<UniqueFd> make_from(MakeContext& context, const PseudoFileState& state) const override {
    if (state.ended) {
      return of_nobody(state);
    }
    std::string path = state.path;
    if (state.process != 0) {
      const HostPid process = context.host_pid(VirtualPid(state.process));
      const HostPid thread = state.thread != 0 ? context.host_pid(VirtualPid(state.thread)) : process;
      if (process == HostPid() || thread == HostPid()) {
        return Error(kDamaged, "a file of /proc belongs to a process that is not in the image");
      }
      path = std::string(kProc) + std::to_string(process.value());
      path += state.thread != 0 ? "/task/" + std::to_string(thread.value()) : "";
      path += state.path;
    }
    // An image may name anything: a FIFO would wait for its other end.
    UniqueFd fd(::open(path.c_str(), (state.flags & kKept) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!fd) {
      return Error::from_errno("open " + path);
    }
    if (!is_pseudo(fd.get())) {
      return Error(kDamaged, path + ": is no file that the kernel makes up");
    }
    if ((state.flags & (O_PATH | O_NONBLOCK)) == 0 && ::fcntl(fd.get(), F_SETFL, state.flags & O_APPEND) != 0) {
      return Error::from_errno("set the flags of " + path);
    }
    if ((state.flags & O_PATH) == 0 && state.offset != 0 && ::lseek(fd.get(), state.offset, SEEK_SET) != state.offset) {
      return Error::from_errno("seek in " + path);
    }
    return fd;
  }

 private:
  // The same file of a process that lives for no longer than it takes to open it.
  static Result<UniqueFd> of_nobody(const PseudoFileState& state) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      return Error::from_errno("make a pipe");
    }
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      // Only what may be done in the copy of a process with threads.
      char byte = 0;
      ::close(ends[1]);
      (void)!::read(ends[0], &byte, 1);
      ::_exit(0);
    }
    if (child < 0) {
      return Error::from_errno("make a process for a file of one that has ended");
    }
    const std::string path = std::string(kProc) + std::to_string(child) + state.path;
    UniqueFd fd(::open(path.c_str(), (state.flags & kKept) | O_CLOEXEC | O_NOCTTY));
    const int error = errno;
    write_end.reset();
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return fd ? Result<UniqueFd>(std::move(fd)) : Error(error, "open " + state.path + " of a process");
  }
};

const KindRegistration kRegistration{std::make_unique<PseudoFile>()};

}  // namespace
}  // namespace beam::migrate
