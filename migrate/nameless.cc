#include "migrate/nameless.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

namespace beam::migrate {
namespace {

constexpr int kMostAttempts = 100;

std::string directory_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

std::string base_of(const std::string& path) {
  const std::string base = path.substr(path.find_last_of('/') + 1);
  return base.empty() ? "file" : base;
}

std::string temporary_directory() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen == '/' ? chosen : "/tmp";
}

// The nth name to try for a file that was at `path`.
std::string attempt(const std::string& directory, const std::string& base, int number) {
  const std::string name = base.substr(0, 200);
  return directory + (directory.ends_with('/') ? "" : "/") + name +
         (number == 0 ? "" : ".beam-" + std::to_string(::getpid()) + "-" + std::to_string(number));
}

}  // namespace

Result<NamedFile> named_file(const std::string& path) {
  for (const std::string& directory : {directory_of(path), temporary_directory()}) {
    for (int i = 0; i < kMostAttempts; ++i) {
      std::string name = attempt(directory, base_of(path), i);
      UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700));
      if (fd) {
        return NamedFile{std::move(fd), std::move(name)};
      }
      if (errno != EEXIST) {
        break;
      }
    }
  }
  return Error::from_errno("make a file for what " + path + " was");
}

Result<UniqueFd> nameless_file(const std::string& path, bool linkable) {
  if (linkable) {
    for (const std::string& directory : {directory_of(path), temporary_directory()}) {
      UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      if (fd) {
        return fd;
      }
    }
  }
  BEAM_TRY_ASSIGN(auto file, named_file(path));
  if (::unlink(file.path.c_str()) != 0) {
    return Error::from_errno("remove " + file.path);
  }
  return std::move(file.fd);
}

Result<UniqueFd> nameless_directory(const std::string& path, mode_t mode) {
  // Directories above it may be gone as well: they come back for a moment.
  std::vector<std::string> made;
  const auto remove_all = [&] {
    for (auto it = made.rbegin(); it != made.rend(); ++it) {
      ::rmdir(it->c_str());
    }
  };
  for (std::string::size_type slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string above = path.substr(0, slash);
    if (::mkdir(above.c_str(), 0700) == 0) {
      made.push_back(above);
    } else if (errno != EEXIST) {
      break;
    }
  }
  UniqueFd fd;
  for (const std::string& directory : {directory_of(path), temporary_directory()}) {
    for (int i = 0; i < kMostAttempts && !fd; ++i) {
      const std::string name = attempt(directory, base_of(path), i);
      if (::mkdir(name.c_str(), 0700) == 0) {
        fd.reset(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        ::fchmod(fd.get(), mode);
        made.push_back(name);
      } else if (errno != EEXIST) {
        break;
      }
    }
  }
  const int error = errno;
  remove_all();
  if (!fd) {
    return Error(error, "make a directory for what " + path + " was");
  }
  return fd;
}

}  // namespace beam::migrate
