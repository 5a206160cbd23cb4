#include "runtime/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

namespace beam::runtime {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Result<UniqueFd> check_private(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    const int code = errno;
    struct stat link {};
    if (::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
      return Error(0, path + ": is a symbolic link; name the directory itself");
    }
    if (code == ENOTDIR) {
      return Error(0, path + ": is not a directory; remove it or name another");
    }
    return Error(code, path + ": cannot open");
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    return Error::from_errno(path + ": cannot stat");
  }
  if (info.st_uid != ::geteuid()) {
    return Error(0,
                 path + ": belongs to user " + std::to_string(info.st_uid) + ", not to you; name a directory of yours");
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error(0, path + ": can be written by other users; run: chmod 700 " + path);
  }
  return fd;
}

Result<> make_with_parents(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    return success();
  }
  if (errno != ENOENT) {
    return Error::from_errno(path + ": cannot create");
  }
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) {
    return Error(ENOENT, path + ": cannot create");
  }
  BEAM_TRY(make_with_parents(path.substr(0, slash)));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error::from_errno(path + ": cannot create");
  }
  return success();
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

}  // namespace

Result<std::string> home_path() {
  std::string path = environment("BEAM_HOME");
  if (path.empty()) {
    std::string state = environment("XDG_STATE_HOME");
    // The XDG base directory specification: a relative path is invalid and to be ignored.
    if (state.empty() || state.front() != '/') {
      std::string user_home = environment("HOME");
      if (user_home.empty()) {
        const struct passwd* entry = ::getpwuid(::geteuid());
        if (entry == nullptr || entry->pw_dir == nullptr || *entry->pw_dir == '\0') {
          return Error(0, "BEAM_HOME: not set, and neither is HOME; set one of them");
        }
        user_home = entry->pw_dir;
      }
      state = user_home + "/.local/state";
    }
    path = state + "/beam";
  }
  if (path.front() != '/') {
    std::error_code code;
    const auto current = std::filesystem::current_path(code);
    if (code) {
      return Error(code.value(), "BEAM_HOME: is relative, and the working directory cannot be read");
    }
    path = current.string() + "/" + path;
  }
  return without_trailing_slashes(path);
}

std::string runtime_path() {
  std::string base = environment("XDG_RUNTIME_DIR");
  if (base.empty() || base.front() != '/') {
    base = "/tmp/beam-" + std::to_string(::geteuid());
  }
  return without_trailing_slashes(base) + "/beam";
}

Result<std::string> absolute_path(const std::string& path) {
  if (path.empty()) {
    return Error(ENOENT, "''");
  }
  std::error_code fault;
  auto absolute = std::filesystem::absolute(path, fault);
  if (fault) {
    return Error(fault.value(), path);
  }
  std::string text = absolute.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') {
    text.pop_back();
  }
  return text;
}

Result<UniqueFd> make_private_directory(const std::string& path) {
  BEAM_TRY(make_with_parents(path));
  return check_private(path);
}

Result<UniqueFd> open_private_directory(const std::string& path) {
  return check_private(path);
}

Result<UniqueFd> make_runtime_directory() {
  const std::string path = runtime_path();
  const std::string parent = path.substr(0, path.find_last_of('/'));
  if (parent.starts_with("/tmp/beam-")) {
    auto checked = make_private_directory(parent);
    if (!checked.ok()) {
      return std::move(checked).error().remedy("or set XDG_RUNTIME_DIR to a directory of yours");
    }
  }
  auto result = make_private_directory(path);
  if (!result.ok()) {
    return std::move(result).error().remedy("or set XDG_RUNTIME_DIR to a directory of yours, or unset it");
  }
  return result;
}

Result<std::string> helper_path(const std::string& name) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  if (length < 0) {
    return Error::from_errno("/proc/self/exe: cannot read");
  }
  std::string directory(buffer.data(), static_cast<std::size_t>(length));
  directory.resize(directory.find_last_of('/'));
  // Beside the executable in a build tree, below libexec in an installed one.
  for (const std::string& candidate : {directory + "/" + name, directory + "/../libexec/beam/" + name}) {
    if (::access(candidate.c_str(), X_OK) == 0) {
      std::array<char, PATH_MAX> real{};
      return ::realpath(candidate.c_str(), real.data()) != nullptr ? std::string(real.data()) : candidate;
    }
  }
  return Error(0, directory + "/../libexec/beam/" + name + ": is missing; install Beam again");
}

std::string workstation_name() {
  std::string name = environment("BEAM_WORKSTATION");
  if (name.empty()) {
    std::array<char, HOST_NAME_MAX + 1> buffer{};
    if (::gethostname(buffer.data(), buffer.size() - 1) == 0) {
      name = buffer.data();
    }
  }
  return name.empty() ? "localhost" : name;
}

}  // namespace beam::runtime
