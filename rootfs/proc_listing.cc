#include "rootfs/proc_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "base/log.h"

namespace beam::rootfs {
namespace {

constexpr std::string_view kStem = "beam-proc.";
constexpr std::string_view kDeleted = " (deleted)";
constexpr const char* kLockName = "lock";
constexpr std::size_t kRetiredKept = 16;
constexpr time_t kAgeWithoutLock = 60;  // seconds: long after a start that lives would have made its lock

struct DirCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

// Removes a private directory with what is in it, read-only directories included.
void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.is_directory(error) && !entry.is_symlink(error)) {
      std::filesystem::permissions(entry.path(), std::filesystem::perms::owner_all, error);
    }
  }
  std::filesystem::remove_all(path, error);
  if (error) {
    BEAM_LOG_WARN(kRootfs, "remove {}: {}", path, error.message());
  }
}

bool usable(const std::string& place, bool apart_from_root) {
  struct stat status {};
  struct stat root {};
  if (place.empty() || place[0] != '/' || ::stat(place.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      ::access(place.c_str(), W_OK | X_OK) != 0) {
    return false;
  }
  return !apart_from_root || (::stat("/", &root) == 0 && root.st_dev != status.st_dev);
}

std::string usual_place() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string places[] = {runtime != nullptr ? runtime : "", "/dev/shm", "/tmp"};
  for (const bool apart : {true, false}) {
    for (const auto& place : places) {
      if (usable(place, apart)) {
        return place;
      }
    }
  }
  return "/tmp";
}

// A supervisor holds the lock of its directory as long as it lives.
void remove_abandoned(const std::string& place) {
  const Dir directory(::opendir(place.c_str()));
  if (directory == nullptr) {
    return;
  }
  while (const dirent* entry = ::readdir(directory.get())) {
    if (!std::string_view(entry->d_name).starts_with(kStem)) {
      continue;
    }
    const std::string path = place + "/" + entry->d_name;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) {
      continue;
    }
    const UniqueFd lock(::open((path + "/" + kLockName).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    const bool abandoned = lock ? ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0
                                : errno == ENOENT && ::time(nullptr) - status.st_ctime > kAgeWithoutLock;
    if (abandoned) {
      remove_tree(path);
    }
  }
}

bool all_digits(std::string_view name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

Error failed(const std::string& what, const std::string& path) {
  return Error::from_errno(what + " " + path);
}

}  // namespace

Result<std::unique_ptr<ProcListing>> ProcListing::create(const std::string& place) {
  const std::string parent = place.empty() ? usual_place() : place;
  remove_abandoned(parent);
  constexpr int kTries = 16;
  for (int i = 0; i < kTries; ++i) {
    std::string path = parent + "/" + std::string(kStem) + "XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) {
      return failed("make a directory", path).remedy("set XDG_RUNTIME_DIR to a directory of yours that can be written");
    }
    UniqueFd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    UniqueFd lock(::openat(directory.get(), kLockName, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    struct stat status {};
    // Another supervisor's start may have taken it for abandoned before it was locked.
    if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(lock.get(), &status) != 0 ||
        status.st_nlink == 0) {
      continue;
    }
    return std::unique_ptr<ProcListing>(new ProcListing(std::move(path), std::move(directory), std::move(lock)));
  }
  return Error(EBUSY, "make a directory in " + parent);
}

ProcListing::ProcListing(std::string path, UniqueFd directory, UniqueFd lock)
    : path_(std::move(path)), directory_(std::move(directory)), lock_(std::move(lock)) {}

ProcListing::~ProcListing() {
  remove_tree(path_);
}

void ProcListing::prepare() {
  std::call_once(prepared_, [this] {
    measure_order();
    read_names();
  });
}

const std::vector<std::string>& ProcListing::names_of_root() {
  prepare();
  return names_;
}

ProcListing::Order ProcListing::order() {
  prepare();
  return order_;
}

void ProcListing::assume_order(Order order) {
  prepare();
  order_ = order;
}

// tmpfs lists the newest first before Linux 6.6 and since 6.14, the oldest first in between (fs/libfs.c).
void ProcListing::measure_order() {
  const std::string probe = path_ + "/probe";
  if (::mkdir(probe.c_str(), 0700) != 0) {
    return;
  }
  for (const char* name : {"/1", "/2"}) {
    ::mkdir((probe + name).c_str(), 0700);
  }
  if (const Dir directory{::opendir(probe.c_str())}) {
    while (const dirent* entry = ::readdir(directory.get())) {
      if (all_digits(entry->d_name)) {
        order_ = entry->d_name[0] == '1' ? Order::kOldestFirst : Order::kNewestFirst;
        break;
      }
    }
  }
  remove_tree(probe);
}

void ProcListing::read_names() {
  const Dir proc(::opendir("/proc"));
  if (proc == nullptr) {
    return;
  }
  while (const dirent* entry = ::readdir(proc.get())) {
    const std::string_view name(entry->d_name);
    if (name == "." || name == ".." || all_digits(name)) {
      continue;
    }
    fixed_.push_back({std::string(name), static_cast<mode_t>(DTTOIF(entry->d_type))});
    names_.emplace_back(name);
  }
  std::sort(names_.begin(), names_.end());
}

Result<UniqueFd> ProcListing::open_root(const std::vector<VirtualPid>& processes, int flags, bool same_inode) {
  prepare();
  const std::lock_guard lock(mutex_);
  BEAM_TRY(bring_up_to_date(root_, "proc", processes, fixed_, same_inode));
  return open(root_, flags);
}

Result<UniqueFd> ProcListing::open_tasks(VirtualPid process, const std::vector<VirtualPid>& threads, int flags,
                                         bool same_inode) {
  prepare();
  const std::lock_guard lock(mutex_);
  Snapshot& snapshot = tasks_[process];
  BEAM_TRY(bring_up_to_date(snapshot, "task." + std::to_string(process.value()), threads, {}, same_inode));
  return open(snapshot, flags);
}

void ProcListing::forget(VirtualPid process) {
  const std::lock_guard lock(mutex_);
  const auto listed = std::lower_bound(root_.ids.begin(), root_.ids.end(), process);
  if (!root_.name.empty() && listed != root_.ids.end() && *listed == process) {
    ::fchmod(root_.directory.get(), 0755);
    remove_entries(root_, {process});
    ::fchmod(root_.directory.get(), 0555);
    root_.ids.erase(listed);
  }
  const auto tasks = tasks_.find(process);
  if (tasks != tasks_.end()) {
    ::fchmod(tasks->second.directory.get(), 0755);
    remove_entries(tasks->second, tasks->second.ids);
    retire(std::move(tasks->second.name));
    tasks_.erase(tasks);
  }
}

// False when a program has changed the directory, which root can through a descriptor.
bool ProcListing::remove_entries(const Snapshot& snapshot, const std::vector<VirtualPid>& ids) {
  bool removed = true;
  for (const VirtualPid id : ids) {
    removed &= ::unlinkat(snapshot.directory.get(), std::to_string(id.value()).c_str(), AT_REMOVEDIR) == 0;
  }
  return removed;
}

Result<UniqueFd> ProcListing::open(const Snapshot& snapshot, int flags) const {
  UniqueFd fd(::openat(directory_.get(), snapshot.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
  if (!fd) {
    return failed("open", path_ + "/" + snapshot.name);
  }
  return fd;
}

Result<> ProcListing::bring_up_to_date(Snapshot& snapshot, const std::string& stem, const std::vector<VirtualPid>& ids,
                                       const std::vector<Entry>& fixed, bool same_inode) {
  if (snapshot.name.empty()) {
    return make_anew(snapshot, stem, ids, fixed);
  }
  if (snapshot.ids == ids) {
    return success();
  }
  std::vector<VirtualPid> gone;
  std::vector<VirtualPid> come;
  std::set_difference(snapshot.ids.begin(), snapshot.ids.end(), ids.begin(), ids.end(), std::back_inserter(gone));
  std::set_difference(ids.begin(), ids.end(), snapshot.ids.begin(), snapshot.ids.end(), std::back_inserter(come));
  // What comes must be listed last.
  const bool in_order =
      come.empty() || (order_ == Order::kOldestFirst && (snapshot.ids.empty() || come.front() > snapshot.ids.back()));
  if (!in_order && !same_inode) {
    return make_anew(snapshot, stem, ids, fixed);
  }
  const int directory = snapshot.directory.get();
  bool changed = ::fchmod(directory, 0755) != 0;
  changed |= !remove_entries(snapshot, in_order ? gone : snapshot.ids);
  snapshot.ids = ids;
  if (in_order) {
    for (const VirtualPid id : come) {
      changed |= ::mkdirat(directory, std::to_string(id.value()).c_str(), 0555) != 0;
    }
    changed |= ::fchmod(directory, 0555) != 0;
  } else {
    for (const Entry& entry : fixed) {
      changed |= ::unlinkat(directory, entry.name.c_str(), S_ISDIR(entry.type) ? AT_REMOVEDIR : 0) != 0;
    }
    changed |= !fill(snapshot, fixed).ok();
  }
  return changed ? make_anew(snapshot, stem, ids, fixed) : success();
}

Result<> ProcListing::make_anew(Snapshot& snapshot, const std::string& stem, const std::vector<VirtualPid>& ids,
                                const std::vector<Entry>& fixed) {
  retire(std::move(snapshot.name));
  snapshot.name = stem + "." + std::to_string(made_++);
  snapshot.ids = ids;
  const auto failed_with = [&](Error error) {
    snapshot.name.clear();
    return error;
  };
  if (::mkdirat(directory_.get(), snapshot.name.c_str(), 0755) != 0) {
    return failed_with(failed("make", path_ + "/" + snapshot.name));
  }
  snapshot.directory.reset(
      ::openat(directory_.get(), snapshot.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  auto filled = fill(snapshot, fixed);
  return filled.ok() ? success() : failed_with(std::move(filled).error());
}

// Makes the entries of an empty directory, in the order in which they will be listed, and makes it read-only.
Result<> ProcListing::fill(const Snapshot& snapshot, const std::vector<Entry>& fixed) const {
  const int directory = snapshot.directory.get();
  std::vector<Entry> entries(fixed);
  for (const VirtualPid id : snapshot.ids) {
    entries.push_back({std::to_string(id.value()), S_IFDIR});
  }
  if (order_ == Order::kNewestFirst) {
    std::reverse(entries.begin(), entries.end());
  }
  for (const Entry& entry : entries) {
    int made = 0;
    if (S_ISDIR(entry.type)) {
      made = ::mkdirat(directory, entry.name.c_str(), 0555);
    } else if (S_ISLNK(entry.type)) {
      made = ::symlinkat(entry.name.c_str(), directory, entry.name.c_str());
    } else {
      made = ::mknodat(directory, entry.name.c_str(), S_IFREG | 0444, 0);
    }
    if (made != 0) {
      return failed("make " + entry.name + " in", path_ + "/" + snapshot.name);
    }
  }
  if (::fchmod(directory, 0555) != 0) {
    return failed("change the mode of", path_ + "/" + snapshot.name);
  }
  return success();
}

void ProcListing::retire(std::string name) {
  if (name.empty()) {
    return;
  }
  retired_.push_back(std::move(name));
  while (retired_.size() > kRetiredKept) {
    remove_tree(path_ + "/" + retired_.front());
    retired_.pop_front();
  }
}

std::optional<std::string> ProcListing::shown(std::string_view host_path) const {
  if (!host_path.starts_with(path_) || host_path.size() <= path_.size() || host_path[path_.size()] != '/') {
    return std::nullopt;
  }
  host_path.remove_prefix(path_.size() + 1);
  if (host_path.ends_with(kDeleted)) {
    host_path.remove_suffix(kDeleted.size());
  }
  const auto end = host_path.rfind('.');
  const std::string_view stem = host_path.substr(0, end);
  constexpr std::string_view kTask = "task.";
  if (end == std::string_view::npos || !all_digits(host_path.substr(end + 1))) {
    return std::nullopt;
  }
  if (stem == "proc") {
    return "/proc";
  }
  if (stem.starts_with(kTask) && all_digits(stem.substr(kTask.size()))) {
    return "/proc/" + std::string(stem.substr(kTask.size())) + "/task";
  }
  return std::nullopt;
}

}  // namespace beam::rootfs
