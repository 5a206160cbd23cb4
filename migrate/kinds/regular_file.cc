// Regular files and directories, and what is open by O_PATH only: opened again with the same flags, at the same offset.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>

#include "interpose/inode_search.h"
#include "migrate/image_path.h"
#include "migrate/nameless.h"
#include "migrate/object_kind.h"

namespace beam::migrate {

struct RegularFileState {
  std::string path;
  std::int32_t flags = 0;
  std::int64_t offset = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::uint32_t type = 0;              // S_IFMT of its mode
  std::optional<std::uint32_t> inode;  // of a file that has been removed: where its contents are (MakeContext::inode)
  bool removed = false;
  std::uint32_t mode = 0;
  std::uint64_t entries = 0;  // of a directory that is being listed: how many have been read, and the last of them
  std::string last_entry;
  std::uint64_t write_hint = 0;  // F_SET_RW_HINT: of the file, for as long as somebody holds it; 0: none
};
BEAM_STATE_SINCE(RegularFileState, write_hint, 2)
BEAM_STATE(RegularFileState, 2, path, flags, offset, size, modified_ns, type, inode, removed, mode, entries, last_entry,
           write_hint)

namespace {

// What open(2) alone can set; fcntl(2) sets the rest.
constexpr int kKept = O_ACCMODE | O_APPEND | O_ASYNC | O_DIRECT | O_DIRECTORY | O_DSYNC | O_LARGEFILE | O_NOATIME |
                      O_NOFOLLOW | O_NONBLOCK | O_PATH | O_SYNC;
constexpr std::string_view kDeleted = " (deleted)";

struct DirectoryEntry {
  std::uint64_t inode;
  std::int64_t next;  // the offset behind it
  std::uint16_t size;
  std::uint8_t type;
  char name[1];
};

// Visits the entries of a directory from its start; stops when `visit` says so.
template <typename Visit>
Result<> list(int directory, Visit&& visit) {
  const UniqueFd fd(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return Error::from_errno("list a directory");
  }
  alignas(std::uint64_t) std::array<char, 32768> buffer;
  for (;;) {
    const long size = ::syscall(SYS_getdents64, fd.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      // ENOENT: it has been removed.
      return size == 0 || errno == ENOENT ? success() : Result<>(Error::from_errno("list a directory"));
    }
    for (long at = 0; at < size;) {
      DirectoryEntry entry{};
      std::memcpy(&entry, buffer.data() + at, offsetof(DirectoryEntry, name));
      if (!visit(entry.next, std::string(buffer.data() + at + offsetof(DirectoryEntry, name)))) {
        return success();
      }
      at += entry.size;
    }
  }
}

// Another name of a file whose own has been removed: beside it, or below a directory that was above it.
std::string other_name(const std::string& path, const struct stat& info) {
  const std::string found = interpose::find_inode_near(path, info.st_ino);
  struct stat other {};
  return !found.empty() && ::lstat(found.c_str(), &other) == 0 && other.st_ino == info.st_ino &&
                 other.st_dev == info.st_dev
             ? found
             : "";
}

class RegularFile : public KindOf<RegularFileState> {
 public:
  std::string_view name() const override { return "regular_file"; }
  int order() const override { return 90; }  // before the kinds of what only its path is held of
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISREG(file.info.st_mode) || S_ISDIR(file.info.st_mode) ||
           ((file.flags & O_PATH) != 0 && file.link.starts_with('/'));
  }

 protected:
  Result<RegularFileState> collect_state(CollectContext& context, const OpenFile& file) const override {
    RegularFileState state;
    state.path = file.link;
    // Of O_TMPFILE, a file keeps the bit of O_DIRECTORY.
    state.flags = file.flags & kKept & (S_ISDIR(file.info.st_mode) ? ~0 : ~O_DIRECTORY);
    state.offset = file.offset;
    state.size = static_cast<std::uint64_t>(file.info.st_size);
    state.modified_ns = file.info.st_mtim.tv_sec * 1'000'000'000LL + file.info.st_mtim.tv_nsec;
    state.type = file.info.st_mode & S_IFMT;
    state.mode = file.info.st_mode & 07777;
    if (file.link.empty() || file.link.front() != '/') {
      return Error(kObstacle, "a file without a path");
    }
    // nlink tells a removed file from one whose name ends like that.
    if (file.info.st_nlink == 0) {
      if (state.path.ends_with(kDeleted)) {
        state.path.resize(state.path.size() - kDeleted.size());
      }
      state.removed = true;
      if (S_ISREG(file.info.st_mode)) {
        BEAM_TRY_ASSIGN(state.inode, context.keep_inode(file, InodeKind::kDeletedFile, state.path));
      } else if (!S_ISDIR(file.info.st_mode)) {
        return Error(kObstacle, "it has been removed");
      }
    } else if (!leads_to(state.path, file.info)) {
      if (!state.path.ends_with(kDeleted)) {
        return Error(kObstacle, "a file that its path leads to no more");
      }
      state.path.resize(state.path.size() - kDeleted.size());
      state.path = other_name(state.path, file.info);
      if (state.path.empty()) {
        return Error(kObstacle, "it has been removed, and its other name is not found near by");
      }
    }
    if (S_ISDIR(file.info.st_mode) && state.offset != 0 && (file.flags & O_PATH) == 0) {
      std::uint64_t count = 0;
      BEAM_TRY(list(file.copy.get(), [&](std::int64_t next, const std::string& name) {
        ++count;
        if (next == state.offset) {
          state.entries = count;
          state.last_entry = name;
        }
        return next != state.offset;
      }));
    }
    state.path = to_image_path(context.shared, state.path);
    if (S_ISREG(file.info.st_mode) && ::fcntl(file.copy.get(), F_GET_RW_HINT, &state.write_hint) != 0) {
      state.write_hint = 0;  // of O_PATH
    }
    return state;
  }

  Result<> check_state(const ImageFacts& facts, const RegularFileState& state) const override {
    return !state.inode || *state.inode < facts.inodes ? success()
                                                       : Result<>(Error(kDamaged, "its contents are not there"));
  }
  Result<UniqueFd> make_from(MakeContext& context, const RegularFileState& state) const override {
    UniqueFd fd;
    const std::string path = from_image_path(*context.shared, state.path);
    const int flags = (state.flags & kKept & ~O_ASYNC) | O_CLOEXEC | O_NOCTTY;
    if (state.inode) {
      BEAM_TRY_ASSIGN(const int inode, context.inode(*state.inode));
      fd.reset(::open(("/proc/self/fd/" + std::to_string(inode)).c_str(), flags & ~O_NOFOLLOW));
    } else if (state.removed) {
      BEAM_TRY_ASSIGN(fd, nameless_directory(path, static_cast<mode_t>(state.mode)));
      if ((state.flags & O_PATH) != 0) {
        fd.reset(::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_PATH | O_CLOEXEC));
      }
    } else {
      // Looked at first: to open something else than was meant may block, or have effects of its own.
      struct stat there {};
      const bool follows = (state.flags & O_NOFOLLOW) == 0;
      if ((follows ? ::stat(path.c_str(), &there) : ::lstat(path.c_str(), &there)) != 0) {
        return Error::from_errno("open " + path);
      }
      if ((there.st_mode & S_IFMT) != state.type) {
        return Error(ESTALE, path + ": is another kind of file now");
      }
      fd.reset(::open(path.c_str(), flags));
      if (!fd && errno == EACCES && S_ISREG(there.st_mode) && there.st_uid == ::geteuid()) {
        fd = open_against_mode(path, flags, there.st_mode);
      }
    }
    if (!fd) {
      return Error::from_errno("open " + path);
    }
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) {
      return Error::from_errno("stat " + path);
    }
    if ((info.st_mode & S_IFMT) != state.type) {
      return Error(ESTALE, path + ": is another kind of file now");
    }
    const std::int64_t modified = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (S_ISREG(info.st_mode) && !state.removed && !context.force &&
        (static_cast<std::uint64_t>(info.st_size) != state.size || modified != state.modified_ns)) {
      return Error(ESTALE, path + ": has changed since the freeze")
          .remedy("thaw with --force to go on with it as it is");
    }
    if (state.write_hint != 0) {
      std::uint64_t hint = state.write_hint;
      (void)::fcntl(fd.get(), F_SET_RW_HINT, &hint);  // a hint; another file system may know none
    }
    if ((state.flags & O_PATH) != 0 || state.offset == 0) {
      return fd;
    }
    std::int64_t offset = state.offset;
    if (state.entries != 0) {
      BEAM_TRY_ASSIGN(offset, offset_behind(fd.get(), state));
    }
    if (::lseek(fd.get(), offset, SEEK_SET) != offset) {
      return Error::from_errno("seek in " + path);
    }
    return fd;
  }

 private:
  // It was opened before its owner took its permissions away.
  static UniqueFd open_against_mode(const std::string& path, int flags, mode_t mode) {
    UniqueFd fd;
    if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) == 0) {
      fd.reset(::open(path.c_str(), flags));
      const int error = errno;
      ::chmod(path.c_str(), mode & 07777);
      errno = error;
    }
    return fd;
  }

  static bool leads_to(const std::string& path, const struct stat& info) {
    struct stat found {};
    return ::lstat(path.c_str(), &found) == 0 && found.st_ino == info.st_ino && found.st_dev == info.st_dev;
  }

  // Offsets of directories are the file system's own. The same directory knows its own again; of a copy, the entry that
  // was read last tells, or how many were.
  static Result<std::int64_t> offset_behind(int fd, const RegularFileState& state) {
    std::int64_t same = -1;
    std::int64_t named = -1;
    std::int64_t counted = -1;
    std::uint64_t count = 0;
    BEAM_TRY(list(fd, [&](std::int64_t next, const std::string& name) {
      same = next == state.offset && name == state.last_entry ? next : same;
      named = name == state.last_entry ? next : named;
      counted = ++count == state.entries ? next : counted;
      return true;
    }));
    return same >= 0 ? same : named >= 0 ? named : counted >= 0 ? counted : state.offset;
  }
};

const KindRegistration kRegistration{std::make_unique<RegularFile>()};

}  // namespace
}  // namespace beam::migrate
