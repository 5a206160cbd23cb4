// Calls that open a path: open(2), openat2(2). What leads into the
// sandbox's /proc is opened by the supervisor and handed over, or opened by the kernel under the workstation's path; so
// is everything where there is a mount view.
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "interpose/host_path.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/unread_memory.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

using rootfs::ProcFile;
using rootfs::ProcNode;
using Kind = ProcNode::Kind;

const GuestFd kHere{AT_FDCWD};
constexpr int kLargeFile = 0100000;  // what 64-bit programs set for nothing
constexpr int kTmpFile = O_TMPFILE & ~O_DIRECTORY;
constexpr int kStateFlags = O_NONBLOCK | O_APPEND;  // F_GETFL shows them
// With no other than these, an open of a file of /proc depends on nothing but its permissions.
constexpr int kSimpleFlags =
    O_ACCMODE | O_CLOEXEC | O_NONBLOCK | O_APPEND | O_NOFOLLOW | O_NOCTTY | kLargeFile | O_DIRECTORY;

bool follows(int flags) {
  return (flags & O_NOFOLLOW) == 0 && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
}

enum class How {
  kPass,      // the kernel, by the path as it is
  kHostPath,  // the kernel, by the workstation's path
  kRefuse,
  kText,
  kListing,
  kHandOver,  // the supervisor opens the workstation's file and hands it over
};
struct Decision {
  How how;
  int error = 0;
};

Decision decide_text(const ProcNode& node, int flags) {
  const int access = flags & O_ACCMODE;
  if (!node.host.starts_with("/proc/") && (access != O_RDONLY || (flags & ~kSimpleFlags) != 0)) {
    return {How::kPass};  // what is written, the kernel judges
  }
  if ((flags & O_PATH) != 0) {
    return {node.native ? How::kPass : How::kHostPath};
  }
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
    return {How::kRefuse, EEXIST};
  }
  if ((flags & (O_DIRECTORY | kTmpFile)) != 0) {
    return {How::kRefuse, ENOTDIR};
  }
  if (node.file == ProcFile::kSched && access == O_WRONLY) {
    return {node.native ? How::kPass : How::kHostPath};  // resets the counts
  }
  if (access != O_RDONLY || (flags & O_TRUNC) != 0) {
    return {How::kRefuse, EACCES};
  }
  return (flags & O_DIRECT) != 0 ? Decision{How::kRefuse, EINVAL} : Decision{How::kText};
}

Decision decide(const AnswerCall& call, const ProcNode& node, int flags) {
  const Decision by_kernel{node.native ? How::kPass : How::kHostPath};
  switch (node.kind) {
    case Kind::kError:
      return {How::kRefuse, node.error};
    case Kind::kText:
      return decide_text(node, flags);
    case Kind::kRoot:
    case Kind::kTaskList:
      if ((flags & O_PATH) != 0) {
        return by_kernel;
      }
      // What the kernel refuses for a directory, it refuses for the workstation's as well.
      return (flags & O_ACCMODE) == O_RDONLY && (flags & (O_CREAT | O_TRUNC | kTmpFile | O_DIRECT)) == 0
                 ? Decision{How::kListing}
                 : by_kernel;
    case Kind::kSelf:
    case Kind::kLink:
    case Kind::kBeyond:
      return by_kernel;
    case Kind::kPlain:
      break;
  }
  // Whether memory may be opened depends on who traces whom, and so on who asks.
  const bool handed_over = !node.native && (flags & ~kSimpleFlags) == 0 && !call.caller.process->credentials_changed &&
                           !node.host.ends_with("/mem");
  return handed_over ? Decision{How::kHandOver} : by_kernel;
}

// Files that show what is mapped: of a process whose memory has not all been read from its image, only then.
std::shared_ptr<Process> shows_unread(const Shared& shared, const ProcNode& node) {
  const auto process = rootfs::shows_mappings(node.host) ? shared.process(node.task.process) : nullptr;
  return process != nullptr && is_unread(shared, *process, {}) ? process : nullptr;
}

Answer open_node(const AnswerCall& call, const ProcNode& node, int flags) {
  ProcView& proc = *call.shared.proc;
  if (shows_unread(call.shared, node) != nullptr) {
    return Answer::escalate();
  }
  proc.note_opened(node, flags);
  const Decision decision = decide(call, node, flags);
  UniqueFd fd;
  int error = 0;
  switch (decision.how) {
    case How::kPass:
      return Answer::pass();
    case How::kHostPath:
      return Answer::escalate();
    case How::kRefuse:
      return Answer::error(decision.error);
    case How::kText:
      error = proc.open_text(call.caller, node, flags & kStateFlags, fd);
      break;
    case How::kListing:
      error = proc.open_listing(call.caller, node, flags & kStateFlags, fd);
      break;
    case How::kHandOver:
      fd.reset(::open(node.host.c_str(), (flags & kSimpleFlags) | O_CLOEXEC));
      error = fd ? 0 : errno;
      break;
  }
  return error != 0 ? Answer::error(error) : Answer::descriptor(std::move(fd), (flags & O_CLOEXEC) != 0);
}

// What a link of /proc leads to and the view has no path for: pipes, sockets, files that have no name any more.
Answer open_object(const rootfs::Found& found, int flags) {
  const mode_t type = found.status.st_mode;
  if ((flags & O_PATH) != 0 || (!S_ISREG(type) && !S_ISDIR(type))) {
    return Answer::escalate();
  }
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  const bool workstations = found.spot.path.starts_with('/') && !found.spot.path.starts_with("/memfd:");
  if (writes && workstations && !found.in_layer && !found.writable_object) {
    return Answer::error(EACCES);
  }
  UniqueFd fd(::open(rootfs::descriptor_path(found.fd.get()).c_str(),
                     (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC | O_NOCTTY));
  return fd ? Answer::descriptor(std::move(fd), (flags & O_CLOEXEC) != 0) : Answer::error(errno);
}

// A path that may have to stay below its directory, or has it for a root.
int read_below(ViewPath& argument, const GuestMemory& memory, GuestFd dir, GuestPath path, unsigned find_flags) {
  std::string text;
  if (const int error = memory.read_string(path.address(), text, PATH_MAX); error != 0) {
    return error;
  }
  if (text.starts_with('/') && (find_flags & rootfs::kBeneath) != 0) {
    return EXDEV;
  }
  if (text.starts_with('/') && (find_flags & rootfs::kInRoot) != 0) {
    text.erase(0, text.find_first_not_of('/'));
    text = text.empty() ? "." : text;
  }
  return argument.set(dir, std::move(text));
}

Answer open_in_view(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, mode_t mode,
                    unsigned find_flags = 0) {
  ViewPath argument(call.shared, call.caller);
  if (const int error = read_below(argument, call.memory(), dir, path, find_flags); error != 0) {
    return Answer::error(error);
  }
  rootfs::View::Opened opened;
  const bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  const ActAs caller(call.caller, makes);
  if (const int error = call.shared.view->open(argument.where(), flags, mode, find_flags, opened); error != 0) {
    // Of a file without a name, where nothing is made.
    const bool own_list = error == EACCES && (flags & O_TMPFILE) == O_TMPFILE &&
                          opened.found.kind == rootfs::Found::Kind::kProc &&
                          is_own_list(call.caller, opened.found.proc.host);
    return Answer::error(own_list ? EOPNOTSUPP : error);
  }
  if (opened.fd) {
    const bool reads = (flags & (O_ACCMODE | O_TRUNC | O_PATH)) == O_RDONLY;
    if (const auto node = reads ? host_file(call, opened.found) : std::nullopt) {
      return open_node(call, *node, flags & kSimpleFlags);
    }
    return Answer::descriptor(std::move(opened.fd), (flags & O_CLOEXEC) != 0);
  }
  if (opened.by_kernel) {
    return Answer::escalate();
  }
  if (opened.found.kind == rootfs::Found::Kind::kProc) {
    return open_node(call, opened.found.proc, flags);
  }
  return open_object(opened.found, flags);
}

Rewrite node_at_stop(RewriteCall& call, const ProcNode& node, std::size_t index, int flags,
                     std::unique_ptr<HostPathCall> progress) {
  if (const auto process = shows_unread(call.shared(), node)) {
    if (auto again = read_in_first(call, *process, {})) {
      return std::move(*again);
    }
  }
  const Caller caller = caller_of(call);
  const AnswerCall context{call.shared(), caller};
  const Decision decision = decide(context, node, flags);
  switch (decision.how) {
    case How::kPass:
      return Rewrite::pass();
    case How::kRefuse:
      return Rewrite::error(decision.error);
    case How::kHostPath:
    case How::kHandOver:
      return with_host_path(call, node, index, std::move(progress));
    case How::kText:
    case How::kListing:
      break;
  }
  // Meanwhile memory was read in, another thread has changed the path, or the process that it names has gone.
  return Rewrite::make_again(call);
}

Rewrite open_in_view_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, int flags,
                             unsigned find_flags, std::unique_ptr<HostPathCall> progress) {
  const Caller caller = caller_of(call);
  ViewPath argument(call.shared(), caller);
  rootfs::View::Opened opened;
  int error = read_below(argument, call.memory(), dir, path, find_flags);
  error = error != 0 ? error : call.shared().view->open(argument.where(), flags, 0, find_flags, opened);
  if (error != 0) {
    return Rewrite::error(error);
  }
  if (opened.by_kernel) {
    return with_view_path(call, opened.host, index, std::move(progress));
  }
  if (opened.fd && (flags & O_EXCL) == 0) {
    // What it was to wait for is over: the holder of a lease has given way.
    opened.fd.reset();
    return with_view_path(call, call.shared().view->host_path(opened.found.spot), index, std::move(progress));
  }
  if (opened.found.kind == rootfs::Found::Kind::kProc) {
    return node_at_stop(call, opened.found.proc, index, flags, std::move(progress));
  }
  if (!opened.fd && opened.found.kind == rootfs::Found::Kind::kObject) {
    return with_host_path(call, opened.found.proc, index, std::move(progress));
  }
  return Rewrite::error(EAGAIN);
}

Answer open_path(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, Mode mode) {
  if (call.shared.view != nullptr) {
    return open_in_view(call, dir, path, flags, mode.value);
  }
  const auto node = call.shared.proc->look(call.caller, dir, path, follows(flags));
  return node ? open_node(call, *node, flags) : Answer::pass();
}

Rewrite open_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, int flags,
                     std::unique_ptr<HostPathCall> progress = std::make_unique<HostPathCall>(),
                     unsigned find_flags = 0) {
  if (call.shared().view != nullptr) {
    return open_in_view_at_stop(call, dir, path, index, flags, find_flags, std::move(progress));
  }
  const auto node = call.shared().proc->look(caller_of(call), dir, path, follows(flags));
  return node ? node_at_stop(call, *node, index, flags, std::move(progress)) : Rewrite::pass();
}

BEAM_SYSCALL(open, Strategy::kAnswer, GuestPath path, OpenFlags flags, Mode mode) {
  return open_path(call, kHere, path, flags.value, mode);
}
BEAM_ESCALATED(open, GuestPath path, OpenFlags flags) {
  return open_at_stop(call, kHere, path, 0, flags.value);
}

BEAM_SYSCALL(openat, Strategy::kAnswer, GuestFd dir, GuestPath path, OpenFlags flags, Mode mode) {
  return open_path(call, dir, path, flags.value, mode);
}
BEAM_ESCALATED(openat, GuestFd dir, GuestPath path, OpenFlags flags) {
  return open_at_stop(call, dir, path, 1, flags.value);
}

constexpr int kCreat = O_CREAT | O_WRONLY | O_TRUNC;
BEAM_SYSCALL(creat, Strategy::kAnswer, GuestPath path, Mode mode) {
  return open_path(call, kHere, path, kCreat, mode);
}
BEAM_ESCALATED(creat, GuestPath path) {
  return open_at_stop(call, kHere, path, 0, kCreat);
}

// --- openat2 ---

constexpr std::uint64_t kStayBelow = RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_NO_XDEV;
constexpr std::uint64_t kResolveFlags = kStayBelow | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

// What the kernel refuses by itself, it has to see as it is.
bool is_plain(const open_how& how) {
  return how.flags <= INT32_MAX && (how.resolve & ~kResolveFlags) == 0 && (how.mode == 0 || (how.flags & O_CREAT) != 0);
}

// A path of /proc that goes up, or starts elsewhere, is refused by the kernel whatever ids are in it.
bool leaves(const std::string& path, std::uint64_t resolve) {
  return (resolve & kStayBelow) != 0 && (path.starts_with('/') || path.find("..") != std::string::npos);
}

bool goes_by_self(const std::string& path) {
  return path.starts_with("self") || path.starts_with("thread-self") || path.find("/self") != std::string::npos ||
         path.find("/thread-self") != std::string::npos;
}

bool kernel_refuses(const std::string& path, std::uint64_t resolve) {
  return leaves(path, resolve) || ((resolve & RESOLVE_NO_SYMLINKS) != 0 && goes_by_self(path));
}

unsigned find_flags_of(std::uint64_t resolve) {
  const auto flag = [resolve](std::uint64_t bit, unsigned value) { return (resolve & bit) != 0 ? value : 0U; };
  return flag(RESOLVE_NO_SYMLINKS, rootfs::kNoSymlinks) | flag(RESOLVE_NO_MAGICLINKS, rootfs::kNoMagicLinks) |
         flag(RESOLVE_BENEATH, rootfs::kBeneath) | flag(RESOLVE_IN_ROOT, rootfs::kInRoot) |
         flag(RESOLVE_NO_XDEV, rootfs::kNoXdev);
}

// The checks of the kernel (fs/open.c, build_open_flags).
Answer openat2_in_view(const AnswerCall& call, GuestFd dir, GuestPath path, RemotePtr<open_how> how,
                       std::uint64_t size) {
  constexpr std::uint64_t kMostBytes = 4096;
  constexpr std::uint64_t kOpenFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
                                       O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT | kLargeFile | O_DIRECTORY | O_NOFOLLOW |
                                       O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE;
  open_how copy{};
  if (size < sizeof copy) {
    return Answer::error(EINVAL);
  }
  if (size > kMostBytes) {
    return Answer::error(E2BIG);
  }
  std::array<std::byte, kMostBytes> bytes{};
  if (const int error = call.memory().read(how.address(), bytes.data(), size); error != 0) {
    return Answer::error(error);
  }
  if (std::any_of(bytes.begin() + sizeof copy, bytes.begin() + static_cast<std::ptrdiff_t>(size),
                  [](std::byte byte) { return byte != std::byte{0}; })) {
    return Answer::error(E2BIG);
  }
  std::memcpy(&copy, bytes.data(), sizeof copy);
  const bool makes = (copy.flags & O_CREAT) != 0 || (copy.flags & O_TMPFILE) == O_TMPFILE;
  const bool both_roots = (copy.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT);
  constexpr std::uint64_t kPathFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  if ((copy.flags & ~kOpenFlags) != 0 || (copy.resolve & ~(kResolveFlags | RESOLVE_CACHED)) != 0 || both_roots ||
      (copy.mode & ~07777ULL) != 0 || (copy.mode != 0 && !makes) ||
      ((copy.flags & O_PATH) != 0 && (copy.flags & ~kPathFlags) != 0)) {
    return Answer::error(EINVAL);
  }
  if ((copy.resolve & RESOLVE_CACHED) != 0) {
    return Answer::error(EAGAIN);  // nothing is certain to be found without waiting
  }
  return open_in_view(call, dir, path, static_cast<int>(copy.flags), static_cast<mode_t>(copy.mode),
                      find_flags_of(copy.resolve));
}

BEAM_SYSCALL(openat2, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<open_how> how, std::uint64_t size) {
  open_how copy{};
  std::string text;
  if (call.shared.view != nullptr) {
    return openat2_in_view(call, dir, path, how, size);
  }
  if (size < sizeof copy || call.memory().read(how, copy) != 0 || !is_plain(copy) ||
      call.memory().read_string(path.address(), text, PATH_MAX) != 0 || kernel_refuses(text, copy.resolve)) {
    return Answer::pass();
  }
  const int flags = static_cast<int>(copy.flags);
  const bool follow = follows(flags) && (copy.resolve & RESOLVE_NO_SYMLINKS) == 0;
  const auto node = call.shared.proc->look(call.caller, dir, text, follow);
  return node ? open_node(call, *node, flags) : Answer::pass();
}

BEAM_ESCALATED(openat2, GuestFd dir, GuestPath path, RemotePtr<open_how> how) {
  open_how copy{};
  if (call.memory().read(how, copy) != 0) {
    return Rewrite::error(EFAULT);
  }
  // An absolute path stays below no directory; that the program's own does has been seen.
  const unsigned find_flags = find_flags_of(copy.resolve);
  copy.resolve &= ~kStayBelow;
  auto progress = std::make_unique<HostPathCall>();
  const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 2, place);
  call.set_arg(*progress, 3, sizeof copy);
  return open_at_stop(call, dir, path, 1, static_cast<int>(copy.flags), std::move(progress), find_flags);
}

}  // namespace
}  // namespace beam::interpose
