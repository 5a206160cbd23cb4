// From a private layer into an image.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include "base/fault.h"
#include "migrate/layer.h"
#include "rootfs/host_file.h"

namespace beam::migrate {
namespace {

constexpr std::size_t kBuffer = 1UL << 20;

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// `path` by which this process finds the file. What can't be read is none that the sandbox could have set.
std::vector<ExtendedAttribute> attributes_of(const std::string& path) {
  std::vector<ExtendedAttribute> all;
  const ssize_t wanted = ::listxattr(path.c_str(), nullptr, 0);
  if (wanted <= 0) {
    return all;
  }
  std::string names(65536, '\0');  // XATTR_LIST_MAX
  const ssize_t size = ::listxattr(path.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const std::string name = names.c_str() + at;
    at += static_cast<ssize_t>(name.size() + 1);
    const ssize_t length = ::getxattr(path.c_str(), name.c_str(), nullptr, 0);
    if (length < 0) {
      continue;
    }
    std::string value(static_cast<std::size_t>(length), '\0');
    if (::getxattr(path.c_str(), name.c_str(), value.data(), value.size()) == length) {
      all.push_back({name, value});
    }
  }
  return all;
}

class Packer {
 public:
  Packer(const rootfs::View& view, const Readable& readable, ImageFileWriter& data)
      : view_(view), readable_(readable), data_(data), buffer_(kBuffer) {}

  Result<> run() {
    layer_.reset(::open(view_.layer().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!layer_) {
      return Error::from_errno("open the private layer " + view_.layer());
    }
    BEAM_TRY(directory(""));
    const auto memory = view_.remember();
    state_.removed = memory.removed;
    for (const auto& [place, origin] : memory.stubs) {
      state_.stubs.push_back({place, origin});
    }
    return success();
  }
  [[nodiscard]] const LayerState& state() const { return state_; }

 private:
  Result<> failed(int error, const std::string& path, const char* what) {
    return Error(error, view_.layer() + "/" + path + ": " + what);
  }

  Result<> directory(const std::string& path) {
    rootfs::OwnDirectory opened;
    std::vector<rootfs::DirectoryEntry> entries;
    int error = opened.open(layer_.get(), path);
    error = error != 0 ? error : rootfs::read_directory(opened.get(), entries);
    if (error != 0) {
      return failed(error, path, "read");
    }
    if (!path.empty()) {
      LayerEntry entry = entry_of(path, opened.status());
      entry.attributes = attributes_of(rootfs::descriptor_path(opened.get()));
      state_.entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : entries) {
      const std::string below = rootfs::join_path(path, entry.name);
      BEAM_TRY(entry.type == DT_DIR ? directory(below) : file(below));
    }
    return success();
  }

  Result<> file(const std::string& path) {
    UniqueFd fd;
    struct stat status {};
    if (const int error = rootfs::open_beneath(layer_.get(), path, O_PATH | O_NOFOLLOW, 0, fd); error != 0) {
      return failed(error, path, "open");
    }
    if (::fstat(fd.get(), &status) != 0) {
      return failed(errno, path, "stat");
    }
    LayerEntry entry = entry_of(path, status);
    if (status.st_nlink > 1) {
      const auto [known, fresh] =
          links_.emplace(std::pair(status.st_dev, status.st_ino), static_cast<std::uint32_t>(state_.entries.size()));
      if (!fresh) {
        entry.link_of = known->second;
        state_.entries.push_back(std::move(entry));
        return success();
      }
    }
    if (S_ISLNK(status.st_mode)) {
      if (const int error = rootfs::read_link_of(fd.get(), entry.target); error != 0) {
        return failed(error, path, "read the link");
      }
    } else {
      entry.attributes = attributes_of(rootfs::descriptor_path(fd.get()));
      entry.device = status.st_rdev;
    }
    if (S_ISREG(status.st_mode) && status.st_size > 0) {
      BEAM_TRY(contents(fd.get(), status, path, entry));
    }
    state_.entries.push_back(std::move(entry));
    return success();
  }

  LayerEntry entry_of(const std::string& path, const struct stat& status) const {
    LayerEntry entry;
    entry.path = path;
    entry.mode = status.st_mode;
    entry.owner = {status.st_uid, status.st_gid};
    if (const auto shown = view_.shown_owner(status.st_ino)) {
      entry.shown_owner = LayerOwner{shown->first, shown->second};
    }
    entry.accessed_ns = nanoseconds(status.st_atim);
    entry.modified_ns = nanoseconds(status.st_mtim);
    return entry;
  }

  Result<> contents(int file, const struct stat& status, const std::string& path, LayerEntry& entry) {
    const std::string own = rootfs::descriptor_path(file);
    UniqueFd fd(readable_(status.st_dev, status.st_ino));
    if (!fd) {
      fd.reset(::open(own.c_str(), O_RDONLY | O_CLOEXEC | O_NOATIME | O_NONBLOCK));
    }
    if (!fd && errno == EPERM) {  // of another owner
      fd.reset(::open(own.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    }
    if (!fd && errno == EACCES && ::chmod(own.c_str(), S_IRUSR) == 0) {
      fd.reset(::open(own.c_str(), O_RDONLY | O_CLOEXEC | O_NOATIME | O_NONBLOCK));
      const int error = errno;
      (void)::chmod(own.c_str(), status.st_mode & 07777);
      errno = error;
    }
    if (!fd) {
      return failed(errno, path, "read");
    }
    const off_t offset = ::lseek(fd.get(), 0, SEEK_CUR);  // which may be a program's
    auto copied = data_of(fd.get(), status, path, entry);
    ::lseek(fd.get(), offset, SEEK_SET);
    return copied;
  }

  Result<> data_of(int fd, const struct stat& status, const std::string& path, LayerEntry& entry) {
    entry.size = static_cast<std::uint64_t>(status.st_size);
    for (off_t at = 0; at < status.st_size;) {
      off_t begin = ::lseek(fd, at, SEEK_DATA);
      if (begin < 0 && errno == ENXIO) {
        break;  // nothing but a hole
      }
      off_t end = begin < 0 ? -1 : ::lseek(fd, begin, SEEK_HOLE);
      // A file system that knows of no holes has none.
      begin = begin < 0 ? at : begin;
      end = end < 0 ? status.st_size : std::min<off_t>(end, status.st_size);
      BEAM_TRY(run(fd, begin, end, path, entry));
      at = end;
    }
    return success();
  }

  Result<> run(int fd, off_t begin, off_t end, const std::string& path, LayerEntry& entry) {
    LayerRun run{static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end - begin), data_.size()};
    while (begin < end) {
      const ssize_t got =
          ::pread(fd, buffer_.data(), std::min(buffer_.size(), static_cast<std::size_t>(end - begin)), begin);
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got <= 0) {
        return failed(got < 0 ? errno : EIO, path, "read");
      }
      BEAM_TRY(data_.append(buffer_.data(), static_cast<std::size_t>(got)));
      begin += got;
    }
    entry.runs.push_back(run);
    return success();
  }

  const rootfs::View& view_;
  const Readable& readable_;
  ImageFileWriter& data_;
  std::vector<char> buffer_;
  UniqueFd layer_;
  LayerState state_;
  std::map<std::pair<dev_t, ino_t>, std::uint32_t> links_;
};

}  // namespace

Result<> pack_layer(const rootfs::View& view, const Readable& readable, ImageWriter& image) {
  if (fault_point("freeze.layer")) {
    return Error(EIO, "freeze: fault point");
  }
  BEAM_TRY_ASSIGN(auto data, image.file(kLayerData));
  Packer packer(view, readable, data);
  BEAM_TRY(packer.run());
  BEAM_TRY(image.add(std::move(data)));
  BEAM_TRY_ASSIGN(auto index, image.file(kLayerIndex));
  const std::string bytes = encode(packer.state());
  BEAM_TRY(index.append(bytes.data(), bytes.size()));
  return image.add(std::move(index));
}

}  // namespace beam::migrate
