#include "runtime/image_delta.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <filesystem>
#include <optional>

#include "base/unique_fd.h"

namespace beam::runtime {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    return Error::from_errno("open " + path);
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) {
    return MappedFile(nullptr, 0);
  }
  void* const data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd.get(), 0);
  if (data == MAP_FAILED) {
    return Error::from_errno("map " + path);
  }
  return MappedFile(static_cast<const char*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    ::munmap(const_cast<char*>(data_), size_);
  }
}

std::vector<Difference> differences(std::string_view was, std::string_view now, std::uint64_t longest) {
  constexpr std::size_t kPage = ImageBase::kPage;
  std::vector<Difference> found;
  for (std::size_t at = 0; at < now.size(); at += kPage) {
    const std::string_view page = now.substr(at, kPage);
    if (at < was.size() && was.substr(at, page.size()) == page) {
      continue;
    }
    if (!found.empty() && found.back().offset + found.back().size == at && found.back().size + kPage <= longest) {
      found.back().size += page.size();
    } else {
      found.push_back({at, page.size()});
    }
  }
  return found;
}

Result<ImageBase> ImageBase::open(const std::string& directory, const std::string& prefix, const std::string& only) {
  ImageBase base;
  std::error_code fault;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, fault)) {
    if (!entry.is_regular_file() ||
        (!only.empty() && std::filesystem::relative(entry.path(), directory).string() != only)) {
      continue;
    }
    BEAM_TRY_ASSIGN(auto file, MappedFile::open(entry.path()));
    base.names_.push_back(prefix + std::filesystem::relative(entry.path(), directory).string());
    base.files_.push_back(std::move(file));
  }
  if (fault) {
    return Error(fault.value(), "read " + directory);
  }
  for (std::size_t file = 0; file < base.files_.size(); ++file) {
    const std::string_view bytes = base.files_[file].bytes();
    base.pages_.reserve(base.pages_.size() + bytes.size() / kPage);
    for (std::uint64_t at = 0; at + kPage <= bytes.size(); at += kPage) {
      base.pages_.emplace(XXH3_64bits(bytes.data() + at, kPage), Place{file, at});
    }
  }
  return base;
}

bool ImageBase::has(const Place& place, std::string_view page) const {
  return files_[place.file].bytes().substr(std::min<std::size_t>(place.offset, files_[place.file].bytes().size()),
                                           page.size()) == page;
}

const ImageBase::Place* ImageBase::find(std::string_view page) const {
  const auto found = pages_.find(XXH3_64bits(page.data(), page.size()));
  return found != pages_.end() && has(found->second, page) ? &found->second : nullptr;
}

Result<> ImageBase::split(std::string_view bytes,
                          const std::function<Result<>(const std::string&, std::uint64_t, std::uint64_t)>& known,
                          const std::function<Result<>(std::string_view)>& fresh) const {
  std::optional<Place> run;  // that the part up to here continues
  std::size_t begin = 0;     // of that part, or of a fresh one
  const auto flush = [&](std::size_t end) -> Result<> {
    if (end == begin) {
      return success();
    }
    return run ? known(names_[run->file], run->offset, end - begin) : fresh(bytes.substr(begin, end - begin));
  };
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    const std::string_view page = bytes.substr(at, kPage);
    if (run && has(Place{run->file, run->offset + (at - begin)}, page)) {
      continue;
    }
    const Place* place = page.size() == kPage ? find(page) : nullptr;
    if (!run && place == nullptr) {
      continue;
    }
    BEAM_TRY(flush(at));
    begin = at;
    run = place != nullptr ? std::optional(*place) : std::nullopt;
  }
  return flush(bytes.size());
}

}  // namespace beam::runtime
