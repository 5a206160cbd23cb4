// Files of /proc, /sys and their like, whose contents the kernel makes up when they are read: opened again. One that
// belongs to a process is that of the recreated process.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct PseudoFileState {
  std::string path;          // of one that belongs to a process: what follows /proc/PID
  std::int32_t process = 0;  // by virtual id
  std::int32_t thread = 0;   // the path then follows /proc/PID/task/TID
  std::int32_t flags = 0;
  std::int64_t offset = 0;
};
BEAM_STATE(PseudoFileState, 1, path, process, thread, flags, offset)

namespace {

constexpr int kKept = O_ACCMODE | O_APPEND | O_DIRECTORY | O_LARGEFILE | O_NOFOLLOW | O_NONBLOCK | O_PATH;
constexpr std::string_view kProc = "/proc/";

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
    struct statfs system {};
    if (!file.link.starts_with('/') || ::fstatfs(file.copy.get(), &system) != 0) {
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
  bool made_after_processes(std::string_view bytes) const override {
    const auto state = decode<PseudoFileState>(bytes);
    return state.ok() && state->process != 0;
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
    UniqueFd fd(::open(path.c_str(), (state.flags & kKept) | O_CLOEXEC | O_NOCTTY));
    if (!fd) {
      return Error::from_errno("open " + path);
    }
    if ((state.flags & O_PATH) == 0 && state.offset != 0 && ::lseek(fd.get(), state.offset, SEEK_SET) != state.offset) {
      return Error::from_errno("seek in " + path);
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<PseudoFile>()};

}  // namespace
}  // namespace beam::migrate
