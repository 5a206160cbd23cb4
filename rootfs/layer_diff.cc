#include "rootfs/layer_diff.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

#include "rootfs/host_file.h"
#include "rootfs/layer_format.h"

namespace beam::rootfs {
namespace {

using Kind = LayerChange::Kind;

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool look_at(const std::string& path, struct stat& status) {
  return ::lstat(path.c_str(), &status) == 0;
}

bool same_contents(const std::string& a, const std::string& b) {
  const UniqueFd one(::open(a.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  const UniqueFd other(::open(b.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!one || !other) {
    return false;
  }
  constexpr std::size_t kChunk = 1 << 16;
  std::vector<char> left(kChunk);
  std::vector<char> right(kChunk);
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(one.get(), left.data(), kChunk, at);
    const ssize_t also = ::pread(other.get(), right.data(), kChunk, at);
    if (got < 0 || got != also || std::memcmp(left.data(), right.data(), static_cast<std::size_t>(got)) != 0) {
      return false;
    }
    if (got == 0) {
      return true;
    }
    at += got;
  }
}

std::string link_target(const std::string& path) {
  std::error_code code;
  return std::filesystem::read_symlink(path, code).string();
}

bool is_same(const std::string& source, const struct stat& now, const std::string& lower, const struct stat& was) {
  if ((now.st_mode & S_IFMT) != (was.st_mode & S_IFMT)) {
    return false;
  }
  switch (now.st_mode & S_IFMT) {
    case S_IFLNK:
      return link_target(source) == link_target(lower);
    case S_IFREG:
      return now.st_mode == was.st_mode && now.st_size == was.st_size &&
             nanoseconds(now.st_mtim) == nanoseconds(was.st_mtim) && same_contents(source, lower);
    default:
      return now.st_mode == was.st_mode;
  }
}

class Differ {
 public:
  Differ(std::string layer, std::vector<LayerChange>& changes) : layer_(std::move(layer)), changes_(changes) {}

  Result<> run() {
    BEAM_TRY(mount(layer_ + "/" + kRootLayer, "/"));
    const UniqueFd fd = open_directory(layer_ + "/" + kMountLayers);
    std::vector<DirectoryEntry> entries;
    if (!fd || read_directory(fd.get(), entries) != 0) {
      return success();
    }
    for (const DirectoryEntry& entry : entries) {
      if (entry.type == DT_DIR) {
        BEAM_TRY(mount(layer_ + "/" + kMountLayers + "/" + entry.name, unescaped_name(entry.name)));
      }
    }
    std::sort(changes_.begin(), changes_.end(),
              [](const LayerChange& a, const LayerChange& b) { return a.path < b.path; });
    return success();
  }

 private:
  // Without a mark nothing of it has been touched yet, or it is a private one, of which nothing is the workstation's.
  Result<> mount(const std::string& path, const std::string& view) {
    const UniqueFd fd = open_directory(path);
    return fd && read_mark(fd.get()) ? directory(path, view, view, std::nullopt, 0) : success();
  }

  // `lower`: what the workstation has at this place; `origin` of the mark says what the entries are compared with.
  Result<> directory(const std::string& path, const std::string& view, const std::string& lower,
                     const std::optional<struct stat>& shown, std::int64_t since) {
    OwnDirectory fd;
    if (const int error = fd.open(path); error != 0) {
      return Error(error, path + ": read");
    }
    const auto mark = read_mark(fd.get());
    const bool moved = mark && "/" + mark->origin != lower;
    const struct stat& now = fd.status();
    struct stat was {};
    const bool exists = look_at(lower, was);
    (void)shown;
    if (!mark || mark->state == 'C') {
      if (!exists) {
        add(Kind::kAdded, view, path, now.st_mode, false);
      } else if (!S_ISDIR(was.st_mode) || was.st_mode != now.st_mode) {
        add(Kind::kModified, view, path, now.st_mode, since != 0 && nanoseconds(was.st_ctim) > since);
      }
    } else if (moved) {
      return tree("/" + mark->origin, view, lower, path);
    }
    if (mark && mark->state == 'L') {
      return success();
    }
    const std::int64_t own_since = mark ? mark->since : since;
    std::vector<DirectoryEntry> entries;
    if (const int error = read_directory(fd.get(), entries); error != 0) {
      return Error(error, path + ": read");
    }
    std::set<std::string> names;
    for (const DirectoryEntry& entry : entries) {
      names.insert(entry.name);
      BEAM_TRY(one(fd.get(), mark, path, view, lower, entry, own_since));
    }
    if ((!mark || mark->state == 'C') && exists && S_ISDIR(was.st_mode)) {
      deleted(lower, view, names, own_since);
    }
    return success();
  }

  Result<> one(int directory_fd, const std::optional<Mark>& mark, const std::string& path, const std::string& view,
               const std::string& lower, const DirectoryEntry& entry, std::int64_t since) {
    const std::string here = join_path(path, entry.name);
    const std::string shown = join_path(view, entry.name);
    const std::string there = join_path(lower, entry.name);
    if (entry.type == DT_DIR) {
      return directory(here, shown, there, std::nullopt, since);
    }
    struct stat now {};
    if (::fstatat(directory_fd, entry.name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) {
      return success();
    }
    std::string source = here;
    if (is_stub(now)) {
      const std::string named = read_stub_origin(directory_fd, entry.name);
      source = !named.empty() ? "/" + named : mark ? join_path("/" + mark->origin, entry.name) : std::string();
      if (source == there || source.empty() || !look_at(source, now)) {
        return success();
      }
    }
    compare(source, now, shown, there, directory_fd, entry.name, since);
    return success();
  }

  void compare(const std::string& source, const struct stat& now, const std::string& view, const std::string& lower,
               int directory_fd, const std::string& name, std::int64_t since) {
    struct stat was {};
    if (!look_at(lower, was)) {
      add(Kind::kAdded, view, source, now.st_mode, false);
      return;
    }
    if (is_same(source, now, lower, was)) {
      return;
    }
    const auto base = directory_fd >= 0 ? read_base(directory_fd, name) : std::nullopt;
    const bool changed = base && "/" + base->origin == lower ? base->changed != nanoseconds(was.st_ctim)
                                                             : nanoseconds(was.st_ctim) > since;
    add(Kind::kModified, view, source, now.st_mode, changed);
  }

  // A directory of the workstation that is elsewhere in the view. `layer`: what the layer has of it.
  Result<> tree(const std::string& origin, const std::string& view, const std::string& lower,
                const std::string& layer) {
    struct stat now {};
    if (!look_at(origin, now)) {
      return success();
    }
    struct stat was {};
    if (!look_at(lower, was)) {
      add(Kind::kAdded, view, origin, now.st_mode, false);
    }
    const UniqueFd fd = open_directory(origin);
    std::vector<DirectoryEntry> entries;
    if (!fd || read_directory(fd.get(), entries) != 0) {
      return success();
    }
    for (const DirectoryEntry& entry : entries) {
      const std::string from = join_path(origin, entry.name);
      const std::string in_layer = layer.empty() ? std::string() : join_path(layer, entry.name);
      if (entry.type == DT_DIR) {
        if (!in_layer.empty() && open_directory(in_layer)) {
          BEAM_TRY(directory(in_layer, join_path(view, entry.name), join_path(lower, entry.name), std::nullopt, 0));
        } else {
          BEAM_TRY(tree(from, join_path(view, entry.name), join_path(lower, entry.name), ""));
        }
      } else if (look_at(from, now)) {
        compare(from, now, join_path(view, entry.name), join_path(lower, entry.name), -1, entry.name, 0);
      }
    }
    return success();
  }

  void deleted(const std::string& lower, const std::string& view, const std::set<std::string>& names,
               std::int64_t since) {
    const UniqueFd fd = open_directory(lower);
    std::vector<DirectoryEntry> entries;
    if (!fd || read_directory(fd.get(), entries) != 0) {
      return;
    }
    for (const DirectoryEntry& entry : entries) {
      struct stat was {};
      // What came after the directory was changed, the view has never had.
      if (names.find(entry.name) == names.end() && look_at(join_path(lower, entry.name), was) &&
          nanoseconds(was.st_ctim) <= since) {
        add(Kind::kDeleted, join_path(view, entry.name), "", was.st_mode, false);
      }
    }
  }

  void add(Kind kind, const std::string& path, const std::string& source, mode_t mode, bool changed_since) {
    changes_.push_back({kind, path, source, mode, changed_since});
  }

  const std::string layer_;
  std::vector<LayerChange>& changes_;
};

// --- apply ---

std::string directory_of(const std::string& path) {
  const std::size_t cut = path.rfind('/');
  return cut == 0 ? "/" : path.substr(0, cut);
}

// Beside its place, so that one rename puts it there.
Result<> put_file(const LayerChange& change) {
  const std::string made = directory_of(change.path) + "/.beam-apply-" + std::to_string(::getpid());
  const auto failed = [&](const char* what) {
    auto error = Error::from_errno(change.path + ": " + what);
    ::unlink(made.c_str());
    return error;
  };
  ::unlink(made.c_str());
  UniqueFd from(::open(change.source.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!from || ::fstat(from.get(), &status) != 0) {
    return failed("read what it has become");
  }
  UniqueFd to;
  if (S_ISREG(change.mode)) {
    const UniqueFd contents(::open(descriptor_path(from.get()).c_str(), O_RDONLY | O_CLOEXEC));
    to.reset(::open(made.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!contents || !to) {
      return failed("write");
    }
    if (const int error = copy_contents(contents.get(), to.get()); error != 0) {
      errno = error;
      return failed("write");
    }
  } else if (S_ISLNK(change.mode)) {
    if (::symlink(link_target(change.source).c_str(), made.c_str()) != 0) {
      return failed("make the link");
    }
  } else if (S_ISFIFO(change.mode) || S_ISSOCK(change.mode)) {
    if (S_ISSOCK(change.mode)) {
      return success();  // of a process that is not the workstation's
    }
    if (::mkfifo(made.c_str(), 0600) != 0) {
      return failed("make the FIFO");
    }
  } else {
    return Error(EOPNOTSUPP, change.path + ": carry over a device");
  }
  if (!to) {
    to.reset(::open(made.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  if (const int error = copy_attributes(from.get(), to.get(), status); error != 0) {
    errno = error;
    return failed("set its attributes");
  }
  if (S_ISREG(change.mode) && ::fsync(to.get()) != 0) {
    return failed("write");
  }
  struct stat there {};
  if (look_at(change.path, there) && S_ISDIR(there.st_mode)) {
    std::error_code code;
    std::filesystem::remove_all(change.path, code);
  }
  return ::rename(made.c_str(), change.path.c_str()) == 0 ? success() : Result<>(failed("put in place"));
}

Result<> put_directory(const LayerChange& change) {
  struct stat there {};
  if (look_at(change.path, there) && !S_ISDIR(there.st_mode) && ::unlink(change.path.c_str()) != 0) {
    return Error::from_errno(change.path + ": make room for the directory");
  }
  if (::mkdir(change.path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error::from_errno(change.path + ": make");
  }
  return success();
}

Result<> finish_directory(const LayerChange& change) {
  const UniqueFd from(::open(change.source.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const UniqueFd to(::open(change.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!from || !to || ::fstat(from.get(), &status) != 0) {
    return Error::from_errno(change.path + ": set its attributes");
  }
  const int error = copy_attributes(from.get(), to.get(), status);
  return error == 0 ? success() : Result<>(Error(error, change.path + ": set its attributes"));
}

}  // namespace

Result<std::vector<LayerChange>> layer_changes(const std::string& layer) {
  std::vector<LayerChange> changes;
  struct stat status {};
  if (!look_at(layer, status)) {
    return changes;
  }
  BEAM_TRY(Differ(layer, changes).run());
  return changes;
}

Result<> apply_changes(const std::vector<LayerChange>& changes) {
  Result<> first = success();
  const auto keep = [&first](Result<> result) {
    if (!result.ok() && first.ok()) {
      first = std::move(result);
    }
  };
  for (const LayerChange& change : changes) {
    if (change.kind != Kind::kDeleted) {
      keep(S_ISDIR(change.mode) ? put_directory(change) : put_file(change));
    }
  }
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    if (change->kind == Kind::kDeleted) {
      std::error_code code;
      std::filesystem::remove_all(change->path, code);
      keep(code ? Result<>(Error(code.value(), change->path + ": remove")) : success());
    }
  }
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    if (change->kind != Kind::kDeleted && S_ISDIR(change->mode)) {
      keep(finish_directory(*change));
    }
  }
  return first;
}

void open_layer(const std::string& layer) {
  struct stat status {};
  if (!look_at(layer, status) || !S_ISDIR(status.st_mode)) {
    return;
  }
  if ((status.st_mode & 0700) != 0700) {
    (void)::chmod(layer.c_str(), 0700);
  }
  const UniqueFd fd = open_directory(layer);
  std::vector<DirectoryEntry> entries;
  if (!fd || read_directory(fd.get(), entries) != 0) {
    return;
  }
  for (const DirectoryEntry& entry : entries) {
    if (entry.type == DT_DIR) {
      open_layer(join_path(layer, entry.name));
    }
  }
}

}  // namespace beam::rootfs
