// Files that an image has with it: what was executed or mapped, for a workstation where it is missing or another one.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "migrate/collector.h"
#include "migrate/image_path.h"
#include "migrate/restorer.h"

namespace beam::migrate {

namespace {

// A file that an image carried already, and that a thaw took from there: the next image must not depend on that one.
bool is_of_an_image(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash != std::string::npos && path.compare(slash + 1, 5, "file-") == 0 &&
         ::access((path.substr(0, slash) + "/manifest").c_str(), F_OK) == 0;
}

}  // namespace

Result<> Collector::carry_files(bool all, const std::vector<std::string>& some) {
  std::vector<char> buffer(1U << 18);
  for (std::size_t i = 0; i < state_.mapped_files.size(); ++i) {
    MappedFileState& file = state_.mapped_files[i];
    const std::string path = from_image_path(sandbox_.shared(), file.path);
    if (!all && std::find(some.begin(), some.end(), path) == some.end() && !is_of_an_image(path)) {
      continue;
    }
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
      return Error::from_errno("put " + file.path + " into the image");
    }
    file.carried = "file-" + std::to_string(i + 1);
    BEAM_TRY_ASSIGN(auto out, image_->file(file.carried));
    for (;;) {
      const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return Error::from_errno("read " + file.path);
      }
      if (got == 0) {
        break;
      }
      BEAM_TRY(out.append(buffer.data(), static_cast<std::size_t>(got)));
    }
    if (out.size() != file.size) {
      return Error(ESTALE, file.path + ": is being written to");
    }
    if ((info.st_mode & 0111) != 0) {
      BEAM_TRY(out.make_executable());
    }
    BEAM_TRY(image_->add(std::move(out)));
  }
  return success();
}

// The image's own file in place of one that is not there any more. Mapped privately it can't be changed.
Result<UniqueFd> Restorer::carried_file(const MappedFileState& file, bool writable) {
  if (writable) {
    return Error(ESTALE, "the mapped file " + file.path + " has changed since the freeze, and is written to");
  }
  BEAM_TRY_ASSIGN(UniqueFd fd, image_.file(file.carried));
  carried_[file.path] = image_.directory() + "/" + file.carried;
  return fd;
}

std::string Restorer::program_path(const std::string& path) const {
  const auto carried = carried_.find(path);
  return carried == carried_.end() ? from_image_path(tracer_.shared(), path) : carried->second;
}

}  // namespace beam::migrate
