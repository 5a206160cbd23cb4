// What no path leads to: shared memory, memfds, deleted files. Contents are written once, whoever holds or maps them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "migrate/collector.h"
#include "migrate/image_path.h"
#include "migrate/memory_reader.h"

namespace beam::migrate {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kBuffer = 1UL << 20;

// The next bytes from `at` on that are not a hole; false when there are none.
bool next_data(int fd, std::uint64_t at, std::uint64_t size, std::uint64_t& begin, std::uint64_t& end) {
  const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    return false;
  }
  const off_t hole = data < 0 ? -1 : ::lseek(fd, data, SEEK_HOLE);
  // A file system that does not know of holes has none.
  begin = data < 0 ? at : static_cast<std::uint64_t>(data) / kPage * kPage;
  end = hole < 0 ? size : std::min(size, (static_cast<std::uint64_t>(hole) + kPage - 1) / kPage * kPage);
  return begin < end;
}

Result<> copy_data(int fd, std::uint64_t begin, std::uint64_t end, std::vector<char>& buffer, ImageFileWriter& out) {
  while (begin < end) {
    const std::size_t want = std::min<std::uint64_t>(buffer.size(), end - begin);
    std::size_t got = 0;
    while (got < want) {
      const ssize_t n = ::pread(fd, buffer.data() + got, want - got, static_cast<off_t>(begin + got));
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n <= 0) {
        return Error(n < 0 ? errno : EIO, "read a file that no path leads to");
      }
      got += static_cast<std::size_t>(n);
    }
    const std::size_t padded = (got + kPage - 1) / kPage * kPage;
    std::fill(buffer.begin() + static_cast<std::ptrdiff_t>(got), buffer.begin() + static_cast<std::ptrdiff_t>(padded),
              '\0');
    BEAM_TRY(out.append(buffer.data(), padded));
    begin += got;
  }
  return success();
}

// Those that a user may set: access lists and "user." (xattr(7)).
std::vector<ExtendedAttribute> attributes_of(int fd) {
  std::vector<ExtendedAttribute> all;
  std::string names(65536, '\0');  // XATTR_LIST_MAX
  const ssize_t size = ::flistxattr(fd, names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const std::string name = names.c_str() + at;
    at += static_cast<ssize_t>(name.size() + 1);
    std::string value(65536, '\0');  // XATTR_SIZE_MAX
    const ssize_t got = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (got >= 0 && (name.starts_with("user.") || name.starts_with("system.posix_acl_"))) {
      value.resize(static_cast<std::size_t>(got));
      all.push_back({name, value});
    }
  }
  return all;
}

}  // namespace

std::uint32_t Collector::inode_index(InodeKey key, InodeKind kind, const std::string& name) {
  const auto [known, fresh] = inode_indices_.emplace(key, static_cast<std::uint32_t>(state_.shared_memory.size()));
  if (fresh) {
    SharedMemoryState state;
    state.kind = kind;
    state.name = kind == InodeKind::kDeletedFile ? to_image_path(sandbox_.shared(), name) : name;
    state.linkable = kind == InodeKind::kDeletedFile && name.ends_with("/#" + std::to_string(key.second));
    state_.shared_memory.push_back(std::move(state));
    inodes_.emplace_back();
  }
  return known->second;
}

Result<std::uint32_t> Collector::keep_inode(const OpenFile& file, InodeKind kind, const std::string& name) {
  const std::uint32_t index = inode_index({file.info.st_dev, file.info.st_ino}, kind, name);
  KeptInode& kept = inodes_[index];
  if (kept.fd) {
    return index;
  }
  const bool readable = (file.flags & (O_PATH | O_DIRECT)) == 0 && (file.flags & O_ACCMODE) != O_WRONLY;
  kept.fd.reset(readable ? ::fcntl(file.copy.get(), F_DUPFD_CLOEXEC, 3)
                         : ::open(("/proc/self/fd/" + std::to_string(file.copy.get())).c_str(),
                                  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!kept.fd) {
    return errno == EACCES ? Error(kObstacle, "its contents can't be read, and no path leads to it")
                           : Error::from_errno("read " + name);
  }
  SharedMemoryState& state = state_.shared_memory[index];
  state.size = static_cast<std::uint64_t>(file.info.st_size);
  state.mode = file.info.st_mode & 07777;
  state.modified_ns = file.info.st_mtim.tv_sec * 1'000'000'000LL + file.info.st_mtim.tv_nsec;
  if (kind == InodeKind::kDeletedFile) {
    state.attributes = attributes_of(kept.fd.get());
  }
  const int seals = kind == InodeKind::kMemfd ? ::fcntl(file.copy.get(), F_GET_SEALS) : 0;
  state.seals = seals > 0 ? static_cast<std::uint32_t>(seals) : 0;
  return index;
}

Result<> Collector::inode_contents() {
  if (image_ == nullptr) {
    return success();
  }
  std::vector<char> buffer(kBuffer);
  for (std::size_t i = 0; i < state_.shared_memory.size(); ++i) {
    SharedMemoryState& state = state_.shared_memory[i];
    state.page_file = "shared-" + std::to_string(i + 1);
    BEAM_TRY_ASSIGN(auto out, image_->file(state.page_file));
    if (inodes_[i].fd) {
      const int fd = inodes_[i].fd.get();
      // The offset may be the program's own.
      const off_t offset = ::lseek(fd, 0, SEEK_CUR);
      Result<> copied = success();
      std::uint64_t begin = 0;
      std::uint64_t end = 0;
      while (copied.ok() && end < state.size && next_data(fd, end, state.size, begin, end)) {
        const std::uint64_t rounded = (end - begin + kPage - 1) / kPage * kPage;
        state.pages.push_back({begin, rounded, out.size()});
        copied = copy_data(fd, begin, end, buffer, out);
      }
      ::lseek(fd, offset, SEEK_SET);
      BEAM_TRY(std::move(copied).context(state.name));
    } else {
      BEAM_TRY(mapped_contents(inodes_[i].mappings, state, out));
    }
    BEAM_TRY(image_->add(std::move(out)));
  }
  return success();
}

// Of what has no descriptor any more: from whichever process maps a part of it.
Result<> Collector::mapped_contents(std::vector<SharedMapping>& mappings, SharedMemoryState& state,
                                    ImageFileWriter& out) {
  std::sort(mappings.begin(), mappings.end(),
            [](const SharedMapping& a, const SharedMapping& b) { return a.range.offset < b.range.offset; });
  std::uint64_t done = 0;
  for (const SharedMapping& mapping : mappings) {
    const std::uint64_t size = mapping.range.end - mapping.range.start;
    const std::uint64_t begin = std::max(done, mapping.range.offset);
    const std::uint64_t end = mapping.range.offset + size;
    if (begin >= end) {
      continue;
    }
    done = end;
    const std::uint64_t shift = mapping.range.start - mapping.range.offset;
    Remote remote(*mapping.task);
    BEAM_TRY_ASSIGN(const auto regions, shared_pages(remote, begin + shift, end + shift, mapping.range.swapped));
    BEAM_TRY_ASSIGN(const auto reader, MemoryReader::open(mapping.task->tid));
    for (const auto& [from, to] : regions) {
      state.pages.push_back({from - shift, to - from, out.size()});
      BEAM_TRY(reader.copy(from, to, (mapping.range.protection & PROT_READ) != 0, out));
    }
  }
  state.size = (state.size + kPage - 1) / kPage * kPage;
  return success();
}

}  // namespace beam::migrate
