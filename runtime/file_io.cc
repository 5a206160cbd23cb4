#include "runtime/file_io.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/unique_fd.h"

namespace beam::runtime {

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return Error::from_errno("open " + path);
  }
  std::string content;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Error::from_errno("read " + path);
    }
    if (got == 0) {
      return content;
    }
    content.append(buffer.data(), static_cast<std::size_t>(got));
    if (content.size() > limit) {
      return Error(EFBIG, "read " + path);
    }
  }
}

Result<> write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno == EAGAIN) {
        // Somebody who shares the file description made it non-blocking.
        struct pollfd entry = {fd, POLLOUT, 0};
        ::poll(&entry, 1, -1);
        continue;
      }
      return Error::from_errno("write");
    }
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  return success();
}

Result<> write_file(const std::string& path, std::string_view content) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) {
    return Error::from_errno("create " + path);
  }
  return write_all(fd.get(), content).context(path);
}

Result<> replace_file(const std::string& path, std::string_view content) {
  const std::string staging = path + ".new";
  ::unlink(staging.c_str());
  BEAM_TRY(write_file(staging, content));
  if (::rename(staging.c_str(), path.c_str()) != 0) {
    auto error = Error::from_errno("rename " + staging);
    ::unlink(staging.c_str());
    return error;
  }
  return success();
}

}  // namespace beam::runtime
