// inotify(7): watches with their numbers and masks. The kernel knows the inodes; the paths were noted when they were
// watched. What has no path any more is known by a descriptor that somebody in the sandbox has of it.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>

#include "base/log.h"
#include "interpose/inotify_queues.h"
#include "migrate/image_path.h"
#include "migrate/object_kind.h"

namespace beam::migrate {

struct InotifyWatch {
  std::int32_t number = 0;
  std::uint32_t mask = 0;
  std::string path;
  std::uint32_t object = 0;  // instead of a path: a description of what is watched
};
BEAM_STATE_SINCE(InotifyWatch, object, 2)
BEAM_STATE(InotifyWatch, 2, number, mask, path, object)

struct UnreadEvent {
  std::int32_t watch = 0;
  std::uint32_t mask = 0;
  std::uint32_t cookie = 0;
  std::string name;
  std::uint32_t name_space = 0;  // bytes for the name in the record; 0: there is none
};
BEAM_STATE(UnreadEvent, 1, watch, mask, cookie, name, name_space)

struct InotifyState {
  std::int32_t flags = 0;
  std::vector<InotifyWatch> watches;  // by number
  std::vector<UnreadEvent> unread;
  std::int32_t next = 0;  // the number that the next watch gets; 0: not known
};
BEAM_STATE_SINCE(InotifyState, unread, 2)
BEAM_STATE_SINCE(InotifyState, next, 2)
BEAM_STATE(InotifyState, 2, flags, watches, unread, next)

using interpose::InotifyQueues;

namespace {

// Each number that is left out costs a watch that is set and taken off again.
constexpr std::int32_t kHighestNumber = 1 << 20;

struct WatchInfo {
  int number = 0;
  unsigned long inode = 0;
  unsigned device = 0;
  unsigned mask = 0;
};

// inotify wd:1 ino:3f sdev:800001 mask:fce ignored_mask:0 fhandle-bytes:8 ...
std::vector<WatchInfo> watches_in(const std::string& fdinfo) {
  std::vector<WatchInfo> all;
  std::istringstream lines(fdinfo);
  for (std::string line; std::getline(lines, line);) {
    WatchInfo info;
    if (std::sscanf(line.c_str(), "inotify wd:%x ino:%lx sdev:%x mask:%x", reinterpret_cast<unsigned*>(&info.number),
                    &info.inode, &info.device, &info.mask) == 4 &&
        !InotifyQueues::stands_in(info.number)) {
      all.push_back(info);
    }
  }
  return all;
}

// What a watch on this path looks like: the device that it shows is not always that of stat(2).
bool is_watch_of(const WatchInfo& watch, const std::string& path, std::uint32_t mask) {
  const UniqueFd inotify(::inotify_init1(IN_CLOEXEC));
  if (!inotify || ::inotify_add_watch(inotify.get(), path.c_str(), IN_DELETE_SELF | (mask & IN_DONT_FOLLOW)) < 0) {
    return false;
  }
  const UniqueFd info(::open(("/proc/self/fdinfo/" + std::to_string(inotify.get())).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text{};
  if (!info || ::read(info.get(), text.data(), text.size() - 1) <= 0) {
    return false;
  }
  const auto found = watches_in(text.data());
  return found.size() == 1 && found[0].inode == watch.inode && found[0].device == watch.device;
}

struct Unfinished {
  std::vector<std::pair<int, InotifyState>> all;
};

class Inotify : public KindOf<InotifyState> {
 public:
  std::string_view name() const override { return "inotify"; }
  // Linked last: whatever else opens or closes a file would be seen.
  int order() const override { return 1000; }
  bool traps_reads(std::string_view bytes) const override {
    const auto state = decode<InotifyState>(bytes);
    return state.ok() && !state->unread.empty();
  }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link == "anon_inode:inotify" || file.link == "anon_inode:[inotify]";
  }

  bool relates() const override { return true; }
  int relate_order() const override { return 100; }

  Result<> link_all(LinkContext& context) const override {
    for (const auto& [fd, state] : context.made.parts.get<Unfinished>(name(), 0).all) {
      BEAM_TRY(watch(context, fd, state));
    }
    return success();
  }

 protected:
  Result<InotifyState> collect_state(CollectContext& context, const OpenFile& file) const override {
    InotifyState state;
    state.flags = file.flags & O_NONBLOCK;
    int unread = 0;
    if (::ioctl(file.copy.get(), FIONREAD, &unread) != 0) {
      return Error::from_errno("see what inotify has to tell");
    }
    if (unread != 0 && !numbers_watches()) {
      return Error(kObstacle, "inotify events that have not been read")
          .remedy("use a kernel with CONFIG_CHECKPOINT_RESTORE");
    }
    if (unread != 0 && file.tid == HostPid(::getpid())) {
      return Error(kObstacle, "inotify events that have not been read, of an instance that is in flight in a message");
    }
    for (const WatchInfo& info : watches_in(file.fdinfo)) {
      const auto paths = context.shared.watched_paths.of(info.inode);
      const auto path = std::find_if(paths.begin(), paths.end(), [&](const std::string& candidate) {
        return is_watch_of(info, candidate, 0) || is_watch_of(info, candidate, IN_DONT_FOLLOW);
      });
      if (info.number > kHighestNumber) {
        return Error(kObstacle, "an inotify instance that has had more than a million watches");
      }
      // The kernel does not keep that a link was watched itself; its inode shows.
      struct stat there {};
      const bool link = path != paths.end() && ::lstat(path->c_str(), &there) == 0 && S_ISLNK(there.st_mode) &&
                        there.st_ino == info.inode;
      state.watches.push_back({info.number, info.mask | (link ? static_cast<unsigned>(IN_DONT_FOLLOW) : 0U),
                               path == paths.end() ? "" : to_image_path(context.shared, *path), 0});
    }
    std::sort(state.watches.begin(), state.watches.end(),
              [](const InotifyWatch& a, const InotifyWatch& b) { return a.number < b.number; });
    return state;
  }
  Result<> relate_state(CollectContext& context, const OpenFile& file, InotifyState& state) const override {
    for (const WatchInfo& info : watches_in(file.fdinfo)) {
      const auto watch = std::find_if(state.watches.begin(), state.watches.end(),
                                      [&](const InotifyWatch& one) { return one.number == info.number; });
      if (watch == state.watches.end() || !watch->path.empty()) {
        continue;
      }
      // The kernel's own encoding of a device: 20 bits of minor number.
      const auto& known = context.known(::makedev(info.device >> 20U, info.device & 0xfffffU), info.inode);
      const auto holder = std::find_if(known.begin(), known.end(), [&](const KnownFile& candidate) {
        return is_watch_of(info,
                           "/proc/" + std::to_string(candidate.tid.value()) + "/fd/" + std::to_string(candidate.fd), 0);
      });
      if (holder == known.end()) {
        return Error(kObstacle, "inotify watches a file whose path is not known any more");
      }
      watch->object = holder->object;  // 0: an obstacle itself
    }
    return context.contents() && numbers_watches() ? take_events(context, file, state) : success();
  }
  Result<> check_state(const ImageFacts& facts, const InotifyState& state) const override {
    for (const InotifyWatch& watch : state.watches) {
      if (watch.path.empty() && !facts.objects.contains(watch.object)) {
        return Error(kDamaged, "inotify watches an object that is not there");
      }
    }
    return success();
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const InotifyState& state) const override {
    UniqueFd fd(::inotify_init1(IN_CLOEXEC | (state.flags & O_NONBLOCK)));
    if (!fd) {
      return Error::from_errno("make an inotify instance").remedy("see fs.inotify.max_user_instances");
    }
    return fd;
  }
  Result<> link_from(LinkContext& context, const InotifyState& state, int fd) const override {
    context.made.parts.get<Unfinished>(name(), 0).all.emplace_back(fd, state);
    return success();
  }

 private:
  // Whether this kernel lets watches be numbered.
  static bool numbers_watches() {
    const UniqueFd inotify(::inotify_init1(IN_CLOEXEC));
    return inotify && InotifyQueues::set_next_watch(inotify.get(), 1).ok();
  }

  static std::size_t unread_at_start(const CollectContext& context, const OpenFile& file) {
    for (const auto& noted : context.unread_events) {
      if (::syscall(SYS_kcmp, file.tid.value(), noted.tid.value(), KCMP_FILE, file.fd, noted.fd) == 0) {
        return static_cast<std::size_t>(noted.bytes);
      }
    }
    return 0;  // in flight in a message: its readers could not be trapped
  }

  // How many of the events have room in so many bytes.
  static std::size_t count_of(const std::vector<interpose::InotifyEvent>& events, std::size_t bytes) {
    std::size_t count = 0;
    for (; count < events.size(); ++count) {
      const std::size_t size = sizeof(inotify_event) + events[count].name_space;
      if (size > bytes) {
        break;
      }
      bytes -= size;
    }
    return count;
  }

  // What nobody has read yet, which only reading it tells; put back when the sandbox runs on.
  static Result<> take_events(CollectContext& context, const OpenFile& file, InotifyState& state) {
    auto copy = std::make_shared<UniqueFd>(::fcntl(file.copy.get(), F_DUPFD_CLOEXEC, 0));
    BEAM_TRY_ASSIGN(state.next, InotifyQueues::next_watch(file.copy.get()));
    InotifyQueues& queues = context.shared.inotify_queues;
    BEAM_TRY_ASSIGN(auto events, queues.take(file.copy.get()));
    events.resize(count_of(events, unread_at_start(context, file)));
    for (const interpose::InotifyEvent& event : events) {
      state.unread.push_back({event.watch, event.mask, event.cookie, event.name, event.name_space});
    }
    if (!events.empty()) {
      const auto put_back = [&context, &queues, copy, events = std::move(events), next = state.next, tid = file.tid,
                             fd = file.fd] {
        const auto put = queues.put(copy->get(), events, next);
        if (!put.ok()) {
          BEAM_LOG_ERROR(kMigrate, "events of inotify are lost: {}", put.error().message());
        }
        context.trap_reads(tid, fd);
      };
      context.at_resume.emplace_back(put_back);
    }
    return success();
  }

  // Numbers are given out by rising order, from 1 on (fs/notify/inotify).
  static Result<> watch(const LinkContext& context, int fd, const InotifyState& state) {
    const UniqueFd nothing(::memfd_create("beam-watched", MFD_CLOEXEC));
    const std::string nowhere = "/proc/self/fd/" + std::to_string(nothing.get());
    const bool numbers = numbers_watches();
    std::int32_t last = 0;
    for (const InotifyWatch& watch : state.watches) {
      if (watch.number <= last || watch.number > kHighestNumber) {
        return Error(kDamaged, "the numbers of inotify watches are impossible");
      }
      if (numbers) {
        BEAM_TRY(InotifyQueues::set_next_watch(fd, watch.number));
        last = watch.number - 1;
      }
      for (++last; last < watch.number; ++last) {
        const int skipped = ::inotify_add_watch(fd, nowhere.c_str(), IN_DELETE_SELF);
        if (skipped != last || ::inotify_rm_watch(fd, skipped) != 0) {
          return Error(skipped < 0 ? errno : EIO, "number the watches of inotify");
        }
        // Each tells that it is gone; the queue holds so many (fs.inotify.max_queued_events).
        drain(fd);
      }
      std::string path;
      if (watch.path.empty()) {
        BEAM_TRY_ASSIGN(const int object, context.object(watch.object));
        path = "/proc/self/fd/" + std::to_string(object);
      } else {
        path = from_image_path(context.shared, watch.path);
      }
      const std::uint32_t follow = watch.path.empty() ? IN_DONT_FOLLOW : 0U;
      const int got = ::inotify_add_watch(fd, path.c_str(), watch.mask & ~follow);
      if (got != watch.number) {
        return got < 0 ? Error::from_errno("watch " + path) : Error(EIO, "watch " + path + " under its number");
      }
      if (!watch.path.empty()) {
        context.shared.watched_paths.note(path, (watch.mask & IN_DONT_FOLLOW) == 0);
      }
    }
    const std::int32_t next = std::max(state.next, last + 1);
    if (!state.unread.empty()) {
      std::vector<interpose::InotifyEvent> events;
      for (const UnreadEvent& one : state.unread) {
        events.push_back({one.watch, one.mask, one.cookie, one.name, one.name_space});
      }
      return context.shared.inotify_queues.put(fd, events, next);
    }
    return numbers ? InotifyQueues::set_next_watch(fd, next) : success();
  }

  static void drain(int fd) {
    int unread = 0;
    std::array<char, 4096> buffer;
    while (::ioctl(fd, FIONREAD, &unread) == 0 && unread > 0 && ::read(fd, buffer.data(), buffer.size()) > 0) {
    }
  }
};

const KindRegistration kRegistration{std::make_unique<Inotify>()};

}  // namespace
}  // namespace beam::migrate
