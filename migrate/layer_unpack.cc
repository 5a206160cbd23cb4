// From an image into a private layer.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "base/fault.h"
#include "migrate/layer.h"
#include "rootfs/host_file.h"
#include "rootfs/layer_format.h"
#include "rootfs/proc_entry.h"

namespace beam::migrate {
namespace {

constexpr std::uint64_t kLargestIndex = 4ULL << 30;
constexpr std::size_t kBuffer = 1UL << 20;
constexpr std::string_view kOwnAttributes = "user.beam.";

Error damaged(std::string what) {
  return {kDamaged, std::move(what)};
}

std::string_view directory_of(std::string_view path) {
  const std::size_t cut = path.rfind('/');
  return cut == std::string_view::npos ? std::string_view() : path.substr(0, cut);
}

// "a/b": no "..", nothing empty. At the top there is what layer_format.h knows and nothing else.
bool is_plain_path(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.back() == '/' || path.find('\0') != std::string_view::npos ||
      path.find("//") != std::string_view::npos) {
    return false;
  }
  std::string_view left = path;
  const std::string_view top = rootfs::next_component(left);
  if (top != rootfs::kRootLayer && top != rootfs::kMountLayers && top != rootfs::kControl) {
    return false;
  }
  for (std::string_view name = rootfs::next_component(left); !name.empty(); name = rootfs::next_component(left)) {
    if (name == "." || name == ".." || name.size() > NAME_MAX) {
      return false;
    }
  }
  return true;
}

timespec time_of(std::int64_t ns) {
  timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
  if (time.tv_nsec < 0) {
    time.tv_nsec += 1'000'000'000;
    --time.tv_sec;
  }
  return time;
}

class Unpacker {
 public:
  Unpacker(const LayerState& layer, const std::string& directory, UniqueFd data)
      : layer_(layer), directory_(directory), data_(std::move(data)), buffer_(kBuffer) {}

  Result<> run() {
    if (::mkdir(directory_.c_str(), 0700) != 0) {
      return Error::from_errno("make the private layer " + directory_);
    }
    top_.reset(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!top_) {
      return Error::from_errno("open the private layer " + directory_);
    }
    const mode_t before = ::umask(0);
    auto made = all();
    ::umask(before);
    return made;
  }

 private:
  [[nodiscard]] Error failed(int error, const LayerEntry& entry, const char* what) const {
    return {error, directory_ + "/" + entry.path + ": " + what};
  }

  Result<> all() {
    for (const LayerEntry& entry : layer_.entries) {
      BEAM_TRY(make(entry));
    }
    // Directories at last, as making something in one changes it; from the deepest up.
    for (auto entry = layer_.entries.rbegin(); entry != layer_.entries.rend(); ++entry) {
      if (S_ISDIR(entry->mode)) {
        UniqueFd fd;
        if (const int error = rootfs::open_beneath(top_.get(), entry->path, O_PATH | O_DIRECTORY, 0, fd); error != 0) {
          return failed(error, *entry, "open");
        }
        BEAM_TRY(finish(*entry, fd.get()));
      }
    }
    return success();
  }

  // The directory that an entry is in, kept open from one entry to the next.
  Result<int> parent(const LayerEntry& entry) {
    const std::string_view path = directory_of(entry.path);
    if (!parent_ || path != parent_path_) {
      if (const int error = rootfs::open_beneath(top_.get(), path, O_PATH | O_DIRECTORY, 0, parent_); error != 0) {
        return failed(error, entry, "open the directory that it is in");
      }
      parent_path_ = path;
    }
    return parent_.get();
  }

  Result<> make(const LayerEntry& entry) {
    BEAM_TRY_ASSIGN(const int at, parent(entry));
    const std::string name = entry.path.substr(entry.path.rfind('/') + 1);
    if (entry.link_of) {
      return make_link(entry, layer_.entries[*entry.link_of], at, name);
    }
    if (S_ISDIR(entry.mode)) {
      return ::mkdirat(at, name.c_str(), 0700) == 0 ? success() : Result<>(failed(errno, entry, "make"));
    }
    if (S_ISLNK(entry.mode)) {
      if (::symlinkat(entry.target.c_str(), at, name.c_str()) != 0) {
        return failed(errno, entry, "make the link");
      }
    } else if (S_ISREG(entry.mode)) {
      return make_file(entry, at, name);
    } else if (::mknodat(at, name.c_str(), (entry.mode & S_IFMT) | 0600, entry.device) != 0) {
      return failed(errno, entry, "make the special file");
    }
    const UniqueFd fd(::openat(at, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    return fd ? finish(entry, fd.get()) : Result<>(failed(errno, entry, "open"));
  }

  Result<> make_file(const LayerEntry& entry, int at, const std::string& name) {
    const UniqueFd fd(::openat(at, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) {
      return failed(errno, entry, "make");
    }
    if (entry.size != 0 && ::ftruncate(fd.get(), static_cast<off_t>(entry.size)) != 0) {
      return failed(errno, entry, "make it as long as it was");
    }
    for (const LayerRun& run : entry.runs) {
      for (std::uint64_t done = 0; done < run.size;) {
        const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(run.size - done, buffer_.size()));
        const ssize_t got = ::pread(data_.get(), buffer_.data(), want, static_cast<off_t>(run.offset + done));
        if (got <= 0) {
          return got < 0 ? failed(errno, entry, "read it from the image") : damaged("layer-data ends early");
        }
        const ssize_t put =
            ::pwrite(fd.get(), buffer_.data(), static_cast<std::size_t>(got), static_cast<off_t>(run.at + done));
        if (put <= 0) {
          return failed(put < 0 ? errno : ENOSPC, entry, "write");
        }
        done += static_cast<std::uint64_t>(put);
      }
    }
    return finish(entry, fd.get());
  }

  // A file has room for so many names; on this file system it may be fewer. Of a stub another one does as well.
  Result<> make_link(const LayerEntry& entry, const LayerEntry& of, int at, const std::string& name) {
    const auto replaced = replaced_.find(*entry.link_of);
    const std::string& place = replaced != replaced_.end() ? replaced->second : of.path;
    UniqueFd above;
    if (const int error = rootfs::open_beneath(top_.get(), directory_of(place), O_PATH | O_DIRECTORY, 0, above);
        error != 0) {
      return failed(error, entry, "open the directory of its other name");
    }
    if (::linkat(above.get(), place.c_str() + place.rfind('/') + 1, at, name.c_str(), 0) == 0) {
      return success();
    }
    const bool is_stub = (of.mode & 07777) == rootfs::kStubMode && of.size == 0;
    if (errno != EMLINK || !is_stub) {
      return failed(errno, entry, "link");
    }
    LayerEntry fresh = of;
    fresh.path = entry.path;
    replaced_[*entry.link_of] = entry.path;
    return make(fresh);
  }

  Result<> finish(const LayerEntry& entry, int fd) {
    const std::string own = rootfs::descriptor_path(fd);
    if (::geteuid() == 0 && ::fchownat(fd, "", entry.owner.user, entry.owner.group, AT_EMPTY_PATH) != 0) {
      return failed(errno, entry, "give it to its owner");
    }
    if (!S_ISLNK(entry.mode)) {
      for (const ExtendedAttribute& attribute : entry.attributes) {
        if (::setxattr(own.c_str(), attribute.name.c_str(), attribute.value.data(), attribute.value.size(), 0) == 0) {
          continue;
        }
        const bool left_out = errno == ENOTSUP || errno == EPERM || errno == EACCES;
        if (!left_out || attribute.name.starts_with(kOwnAttributes)) {
          return failed(errno, entry, "set an extended attribute").remedy("$BEAM_HOME needs a file system with them");
        }
      }
      if (::chmod(own.c_str(), entry.mode & 07777) != 0) {
        return failed(errno, entry, "set its permissions");
      }
    }
    const timespec times[2] = {time_of(entry.accessed_ns), time_of(entry.modified_ns)};
    if (::utimensat(fd, "", times, AT_EMPTY_PATH) != 0 && ::utimensat(AT_FDCWD, own.c_str(), times, 0) != 0) {
      return failed(errno, entry, "set its times");
    }
    return success();
  }

  const LayerState& layer_;
  const std::string& directory_;
  UniqueFd data_;
  std::vector<char> buffer_;
  UniqueFd top_;
  UniqueFd parent_;
  std::string parent_path_;
  std::unordered_map<std::uint32_t, std::string> replaced_;
};

}  // namespace

Result<> check_layer(const LayerState& layer, std::uint64_t data_size) {
  std::unordered_map<std::string_view, bool> seen;  // whether it is a directory
  for (std::size_t i = 0; i < layer.entries.size(); ++i) {
    const LayerEntry& entry = layer.entries[i];
    if (!is_plain_path(entry.path) || !seen.emplace(entry.path, S_ISDIR(entry.mode)).second) {
      return damaged("the private layer has an impossible name");
    }
    const std::string_view above = directory_of(entry.path);
    const auto parent = seen.find(above);
    if (above.empty() ? !S_ISDIR(entry.mode) : parent == seen.end() || !parent->second) {
      return damaged("the private layer has " + entry.path + " in no directory");
    }
    const mode_t type = entry.mode & S_IFMT;
    const bool known = type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFIFO || type == S_IFSOCK ||
                       type == S_IFCHR || type == S_IFBLK;
    if (!known || (entry.mode & ~mode_t{S_IFMT | 07777}) != 0) {
      return damaged("the private layer has an entry of no kind: " + entry.path);
    }
    if (entry.link_of) {
      if (*entry.link_of >= i || S_ISDIR(entry.mode) || layer.entries[*entry.link_of].link_of ||
          (layer.entries[*entry.link_of].mode & S_IFMT) != type) {
        return damaged("the private layer has a name of nothing: " + entry.path);
      }
      continue;
    }
    if (type == S_IFLNK ? entry.target.empty() || entry.target.find('\0') != std::string::npos
                        : !entry.target.empty()) {
      return damaged("the private layer has an impossible link: " + entry.path);
    }
    if (entry.size > INT64_MAX || (type != S_IFREG && (entry.size != 0 || !entry.runs.empty()))) {
      return damaged("the private layer has a file of an impossible size: " + entry.path);
    }
    std::uint64_t end = 0;
    for (const LayerRun& run : entry.runs) {
      if (run.at < end || run.at > entry.size || run.size > entry.size - run.at || run.offset > data_size ||
          run.size > data_size - run.offset) {
        return damaged("the private layer has contents outside a file: " + entry.path);
      }
      end = run.at + run.size;
    }
    for (const ExtendedAttribute& attribute : entry.attributes) {
      if (attribute.name.empty() || attribute.name.find('\0') != std::string::npos) {
        return damaged("the private layer has an attribute without a name: " + entry.path);
      }
    }
  }
  return success();
}

Result<std::optional<LayerState>> read_layer(const Image& image) {
  const ImageFile* index = image.find(kLayerIndex);
  const ImageFile* data = image.find(kLayerData);
  if (index == nullptr) {
    return std::optional<LayerState>();
  }
  const std::string path = "image " + image.directory() + "/" + kLayerIndex;
  if (data == nullptr || index->size > kLargestIndex) {
    return damaged(path + (data == nullptr ? ": its data is not there" : ": too large"));
  }
  BEAM_TRY_ASSIGN(const UniqueFd fd, image.file(kLayerIndex));
  std::string bytes(index->size, '\0');
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t got = ::pread(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got <= 0) {
      return got < 0 ? Error::from_errno(path) : damaged(path + ": it ends early");
    }
    done += static_cast<std::size_t>(got);
  }
  auto layer = decode<LayerState>(bytes);
  if (!layer.ok()) {
    return std::move(layer).error().context(path);
  }
  auto checked = check_layer(*layer, data->size);
  if (!checked.ok()) {
    return std::move(checked).error().context(path);
  }
  return std::optional(std::move(*layer));
}

Result<> unpack_layer(const Image& image, const LayerState& layer, const std::string& directory) {
  if (fault_point("thaw.layer")) {
    return Error(EIO, "thaw: fault point");
  }
  BEAM_TRY_ASSIGN(UniqueFd data, image.file(kLayerData));
  return Unpacker(layer, directory, std::move(data)).run();
}

void recall_layer(const LayerState& layer, rootfs::View& view) {
  rootfs::View::Memory memory;
  memory.removed = layer.removed;
  for (const LayerStub& stub : layer.stubs) {
    memory.stubs.push_back({stub.place, stub.origin});
  }
  view.recall(memory);
  for (const LayerEntry& entry : layer.entries) {
    if (entry.shown_owner) {
      view.show_owner_as(entry.path, entry.shown_owner->user, entry.shown_owner->group);
    }
  }
}

}  // namespace beam::migrate
