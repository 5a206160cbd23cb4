// inotify(7): watches with their numbers and masks. The kernel knows the inodes; the paths were noted when they were
// watched.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>

#include "migrate/image_path.h"
#include "migrate/object_kind.h"

namespace beam::migrate {

struct InotifyWatch {
  std::int32_t number = 0;
  std::uint32_t mask = 0;
  std::string path;
};
BEAM_STATE(InotifyWatch, 1, number, mask, path)

struct InotifyState {
  std::int32_t flags = 0;
  std::vector<InotifyWatch> watches;  // by number
};
BEAM_STATE(InotifyState, 1, flags, watches)

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
                    &info.inode, &info.device, &info.mask) == 4) {
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
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link == "anon_inode:inotify" || file.link == "anon_inode:[inotify]";
  }

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
    if (unread != 0) {
      return Error(kObstacle, "inotify events that have not been read");
    }
    for (const WatchInfo& info : watches_in(file.fdinfo)) {
      const auto paths = context.shared.watched_paths.of(info.inode);
      const auto path = std::find_if(paths.begin(), paths.end(), [&](const std::string& candidate) {
        return is_watch_of(info, candidate, info.mask);
      });
      if (path == paths.end()) {
        return Error(kObstacle, "inotify watches a file whose path is not known any more");
      }
      if (info.number > kHighestNumber) {
        return Error(kObstacle, "an inotify instance that has had more than a million watches");
      }
      state.watches.push_back({info.number, info.mask, to_image_path(context.shared, *path)});
    }
    std::sort(state.watches.begin(), state.watches.end(),
              [](const InotifyWatch& a, const InotifyWatch& b) { return a.number < b.number; });
    return state;
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
  // Numbers are given out by rising order, from 1 on (fs/notify/inotify).
  static Result<> watch(const LinkContext& context, int fd, const InotifyState& state) {
    const UniqueFd nothing(::memfd_create("beam-watched", MFD_CLOEXEC));
    const std::string nowhere = "/proc/self/fd/" + std::to_string(nothing.get());
    std::int32_t last = 0;
    for (const InotifyWatch& watch : state.watches) {
      if (watch.number <= last || watch.number > kHighestNumber) {
        return Error(kDamaged, "the numbers of inotify watches are impossible");
      }
      for (++last; last < watch.number; ++last) {
        const int skipped = ::inotify_add_watch(fd, nowhere.c_str(), IN_DELETE_SELF);
        if (skipped != last || ::inotify_rm_watch(fd, skipped) != 0) {
          return Error(skipped < 0 ? errno : EIO, "number the watches of inotify");
        }
        // Each tells that it is gone; the queue holds so many (fs.inotify.max_queued_events).
        drain(fd);
      }
      const std::string path = from_image_path(context.shared, watch.path);
      const int got = ::inotify_add_watch(fd, path.c_str(), watch.mask);
      if (got != watch.number) {
        return got < 0 ? Error::from_errno("watch " + path) : Error(EIO, "watch " + path + " under its number");
      }
      context.shared.watched_paths.note(path, (watch.mask & IN_DONT_FOLLOW) == 0);
    }
    return success();
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
