#include "interpose/inotify_queues.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/unique_fd.h"

namespace beam::interpose {
namespace {

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, __s32)
#endif

template <typename Visit>
void each_record(std::vector<char>& records, Visit&& visit) {
  for (std::size_t at = 0; at + sizeof(inotify_event) <= records.size();) {
    inotify_event event{};
    std::memcpy(&event, records.data() + at, sizeof event);
    const std::size_t end = at + sizeof event + event.len;
    if (end > records.size()) {
      return;
    }
    visit(event, at);
    at = end;
  }
}

}  // namespace

InotifyQueues::~InotifyQueues() {
  if (!place_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(place_, ignored);
  }
}

Result<std::int32_t> InotifyQueues::next_watch(int inotify) {
  const UniqueFd nothing(::memfd_create("beam-watched", MFD_CLOEXEC));
  const std::string path = "/proc/self/fd/" + std::to_string(nothing.get());
  const int next = ::inotify_add_watch(inotify, path.c_str(), IN_DELETE_SELF);
  if (next < 0 || ::inotify_rm_watch(inotify, next) != 0) {
    return Error::from_errno("number the watches of inotify");
  }
  BEAM_TRY(set_next_watch(inotify, next));
  return next;
}

Result<> InotifyQueues::set_next_watch(int inotify, std::int32_t next) {
  return ::ioctl(inotify, INOTIFY_IOC_SETNEXTWD, static_cast<long>(next)) == 0
             ? success()
             : Result<>(Error::from_errno("number the watches of inotify"));
}

Result<std::string> InotifyQueues::directory(std::int32_t watch) {
  if (place_.empty()) {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    for (const std::string& parent : {std::string(runtime != nullptr ? runtime : ""), std::string("/dev/shm"),
                                      std::filesystem::temp_directory_path().string()}) {
      std::string name = parent + "/beam-events.XXXXXX";
      if (!parent.empty() && ::mkdtemp(name.data()) != nullptr) {
        place_ = name;
        break;
      }
    }
    if (place_.empty()) {
      return Error::from_errno("make a directory for events of inotify");
    }
  }
  std::string path = place_ + "/" + std::to_string(watch);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error::from_errno("make a directory for events of inotify");
  }
  return path;
}

Result<std::vector<InotifyEvent>> InotifyQueues::take(int inotify) {
  std::vector<InotifyEvent> events;
  for (;;) {
    int unread = 0;
    if (::ioctl(inotify, FIONREAD, &unread) != 0) {
      return Error::from_errno("see what inotify has to tell");
    }
    if (unread <= 0) {
      return events;
    }
    std::vector<char> records(static_cast<std::size_t>(unread));
    const ssize_t size = ::read(inotify, records.data(), records.size());
    if (size <= 0) {
      return Error::from_errno("read the events of inotify");
    }
    records.resize(static_cast<std::size_t>(size));
    translate(records);
    each_record(records, [&](const inotify_event& event, std::size_t at) {
      const char* name = records.data() + at + sizeof event;
      events.push_back({event.wd, event.mask, event.cookie, std::string(name, ::strnlen(name, event.len)), event.len});
    });
  }
}

Result<> InotifyQueues::put(int inotify, const std::vector<InotifyEvent>& events, std::int32_t next) {
  const std::lock_guard lock(mutex_);
  if (last_ > INT32_MAX - 2 * kTurns) {
    return Error(EOVERFLOW, "number the watches of inotify");
  }
  const std::int32_t first = last_;
  last_ += kTurns;
  const auto turns = static_cast<std::int32_t>(std::min<std::size_t>(events.size(), kTurns));
  std::vector<UniqueFd> directories;
  for (std::int32_t turn = 0; turn < turns; ++turn) {
    BEAM_TRY_ASSIGN(const std::string path, directory(first + turn));
    BEAM_TRY(set_next_watch(inotify, first + turn));
    if (::inotify_add_watch(inotify, path.c_str(), IN_CREATE | IN_ATTRIB) != first + turn) {
      return Error::from_errno("watch " + path).remedy("see fs.inotify.max_user_watches");
    }
    directories.emplace_back(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  BEAM_TRY(set_next_watch(inotify, next));
  Queue& queue = queues_[first];
  for (std::size_t i = 0; i < events.size(); ++i) {
    const int at = directories[i % static_cast<std::size_t>(turns)].get();
    const InotifyEvent& event = events[i];
    const bool told = event.name_space == 0 ? ::fchmod(at, 0700) == 0
                                            : ::mknodat(at, event.name.c_str(), S_IFREG | 0600, 0) == 0 &&
                                                  ::unlinkat(at, event.name.c_str(), 0) == 0;
    if (!told) {
      return Error::from_errno("tell an event of inotify again");
    }
    queue.unread[i] = event;
  }
  return success();
}

bool InotifyQueues::translate(std::vector<char>& records) {
  const std::lock_guard lock(mutex_);
  bool any = false;
  each_record(records, [&](inotify_event event, std::size_t at) {
    if (!stands_in(event.wd)) {
      return;
    }
    const std::int32_t turn = (event.wd - kFirst) % kTurns;
    const auto queue = queues_.find(event.wd - turn);
    if (queue == queues_.end()) {
      return;
    }
    auto& unread = queue->second.unread;
    const auto found = std::find_if(unread.begin(), unread.end(), [&](const auto& entry) {
      return entry.first % kTurns == static_cast<unsigned>(turn);
    });
    if (found == unread.end()) {
      return;
    }
    event.wd = found->second.watch;
    event.mask = found->second.mask;
    event.cookie = found->second.cookie;
    std::memcpy(records.data() + at, &event, sizeof event);
    unread.erase(found);
    any = true;
  });
  return any;
}

}  // namespace beam::interpose
