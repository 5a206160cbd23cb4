#include "runtime/supervisor_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace beam::runtime {
namespace {

UniqueFd open_null() {
  return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

Result<UniqueFd> open_log(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd) {
    return Error::from_errno(path + ": cannot create");
  }
  return fd;
}

}  // namespace

std::array<UniqueFd, 3> detach_from_caller(const std::vector<int>& keep) {
  ::setsid();
  // A file system that the caller stood on must stay removable.
  if (::chdir("/") != 0) {
    ::_exit(125);
  }
  std::array<UniqueFd, 3> streams;
  std::vector<int> kept;
  for (const int fd : keep) {
    if (fd > 2) {
      kept.push_back(fd);
    }
  }
  for (int fd = 0; fd < 3; ++fd) {
    streams[static_cast<std::size_t>(fd)] = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!streams[static_cast<std::size_t>(fd)]) {
      streams[static_cast<std::size_t>(fd)] = open_null();
    }
    kept.push_back(streams[static_cast<std::size_t>(fd)].get());
  }
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) {
    ::dup2(null, fd);
  }
  std::sort(kept.begin(), kept.end());
  unsigned from = 3;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > from) {
      ::close_range(from, number - 1, 0);
    }
    from = number + 1;
  }
  ::close_range(from, ~0U, 0);
  return streams;
}

void redirect_stderr(const std::string& path) {
  const auto log = open_log(path);
  if (log.ok()) {
    ::dup2(log->get(), 2);
  }
}

Result<StreamSources> detached_streams(const RecordStore& store, const std::string& name, bool keep_stdin) {
  StreamSources sources;
  if (keep_stdin) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      return Error::from_errno("make a pipe");
    }
    sources.streams[0] = UniqueFd(ends[0]);
    sources.stdin_keeper = UniqueFd(ends[1]);
  } else {
    sources.streams[0] = open_null();
    if (!sources.streams[0]) {
      return Error::from_errno("open /dev/null");
    }
  }
  BEAM_TRY_ASSIGN(sources.streams[1], open_log(store.file(name, kStdoutLog)));
  BEAM_TRY_ASSIGN(sources.streams[2], open_log(store.file(name, kStderrLog)));
  return sources;
}

Result<> connect_terminal(std::array<UniqueFd, 3>& streams, unsigned mask, int slave) {
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if ((mask & (1U << i)) != 0) {
      streams[i] = UniqueFd(::fcntl(slave, F_DUPFD_CLOEXEC, 3));
      if (!streams[i]) {
        return Error::from_errno("duplicate the terminal");
      }
    }
  }
  return success();
}

}  // namespace beam::runtime
