// Names of UNIX sockets: abstract ones, and files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "interpose/inode_search.h"
#include "interpose/socket_names.h"
#include "migrate/image_path.h"
#include "migrate/kinds/unix_socket.h"
#include "migrate/patience.h"
#include "migrate/stand_in.h"

namespace beam::migrate {
namespace {

std::string path_of(const std::vector<std::uint8_t>& address) {
  constexpr std::size_t kPath = offsetof(sockaddr_un, sun_path);
  if (address.size() <= kPath || address[kPath] == 0) {
    return {};
  }
  const auto begin = address.begin() + kPath;
  return {begin, std::find(begin, address.end(), 0)};
}

bool is_socket_file(int directory, const std::string& path, std::uint64_t file, mode_t& mode) {
  struct stat info {};
  if (::fstatat(directory, path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISSOCK(info.st_mode) ||
      info.st_ino != file) {
    return false;
  }
  mode = info.st_mode & 07777;
  return true;
}

// Whether somebody is bound to the socket file.
bool is_live(int directory, const std::string& path) {
  const UniqueFd file(::openat(directory, path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const UniqueFd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", file.get());
  // A socket of another type answers EPROTOTYPE.
  return file && probe &&
         (::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED);
}

std::string spare_name(const std::string& path) {
  static std::atomic<unsigned> count{0};
  return path + ".beam-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

// Directories that are missing on the way to `path`, made for the moment of a bind.
class MissingDirectories {
 public:
  MissingDirectories(int directory, const std::string& path) : directory_(directory) {
    for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
      const std::string part = path.substr(0, at);
      if (::mkdirat(directory, part.c_str(), 0700) == 0) {
        made_.push_back(part);
      }
    }
  }
  ~MissingDirectories() {
    for (auto it = made_.rbegin(); it != made_.rend(); ++it) {
      ::unlinkat(directory_, it->c_str(), AT_REMOVEDIR);
    }
  }
  MissingDirectories(const MissingDirectories&) = delete;
  MissingDirectories& operator=(const MissingDirectories&) = delete;

 private:
  int directory_;
  std::vector<std::string> made_;
};

Result<> bind_there(int fd, const UnixName& name, int directory) {
  const auto* address = reinterpret_cast<const sockaddr*>(name.address.data());
  const auto size = static_cast<socklen_t>(name.address.size());
  const std::string what = "bind the UNIX socket " + to_text(name);
  if (directory == AT_FDCWD) {
    return ::bind(fd, address, size) == 0 ? success() : Result<>(Error::from_errno(what));
  }
  return stand_in(nullptr, VirtualPid(), what,
                  [&] { return ::fchdir(directory) != 0 || ::bind(fd, address, size) != 0 ? errno : 0; });
}

// A name whose file is gone again: bound, and unlinked, past whatever has the path now.
Result<UniqueFd> bind_unlinked(int fd, const UnixName& name, int directory, const std::string& path) {
  const MissingDirectories missing(directory, path);
  const std::string aside = spare_name(path);
  const bool moved = ::renameat(directory, path.c_str(), directory, aside.c_str()) == 0;
  auto bound = bind_there(fd, name, directory);
  UniqueFd file;
  if (bound.ok()) {
    file.reset(::openat(directory, path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    ::unlinkat(directory, path.c_str(), 0);
  }
  if (moved && ::renameat(directory, aside.c_str(), directory, path.c_str()) != 0) {
    return Error::from_errno("move " + aside + " back to " + path);
  }
  BEAM_TRY(std::move(bound));
  return file;
}

// Of a relative name whose process has gone elsewhere since: its file is looked for around the directories where the
// processes are now.
void find_directory(const interpose::Shared& shared, const std::string& path, std::uint64_t file, mode_t& mode,
                    UnixName& name) {
  std::set<std::string> seen;
  for (const auto& [host, process] : shared.tasks.processes()) {
    std::error_code fault;
    const std::string cwd = std::filesystem::read_symlink("/proc/" + std::to_string(host.value()) + "/cwd", fault);
    if (fault || !seen.insert(cwd).second) {
      continue;
    }
    const std::filesystem::path found = interpose::find_inode_near(cwd + "/.", file);
    // As many levels up as the name has; whether it leads there from then on is looked at.
    std::filesystem::path directory = found;
    for (const auto& part : std::filesystem::path(path).lexically_normal()) {
      directory = part == ".." ? directory : directory.parent_path();
    }
    if (!found.empty() && is_socket_file(AT_FDCWD, directory / path, file, mode)) {
      name.directory = directory;
      name.unlinked = false;
      return;
    }
  }
}

// What is left of the socket that the name was of goes; what another one is bound to stays.
Result<> make_room(int directory, const std::string& path, const UnixName& name) {
  struct stat info {};
  if (::fstatat(directory, path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return success();
  }
  if (!S_ISSOCK(info.st_mode) || !soon([&] { return !is_live(directory, path); })) {
    return Error(EADDRINUSE, "bind the UNIX socket " + to_text(name) + ", which something else has taken");
  }
  return ::unlinkat(directory, path.c_str(), 0) == 0
             ? success()
             : Result<>(Error::from_errno("replace the UNIX socket " + to_text(name)));
}

Result<UniqueFd> bound_file(int directory, const std::string& path, const UnixName& name) {
  UniqueFd file(::openat(directory, path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file || ::fchmodat(directory, path.c_str(), name.mode & 07777, 0) != 0) {
    return Error::from_errno("set the mode of the UNIX socket " + to_text(name));
  }
  return file;
}

Result<UniqueFd> bind_in_view(const interpose::Shared& shared, int fd, const UnixName& name, const std::string& shown) {
  const std::string what = "bind the UNIX socket " + to_text(name);
  std::string place = from_image_path(shared, name.place);
  std::string temporary;
  if (name.unlinked || place.empty()) {
    temporary = std::filesystem::temp_directory_path() / "beam-name-XXXXXX";
    if (::mkdtemp(temporary.data()) == nullptr) {
      return Error::from_errno(what + ": make a directory");
    }
    place = temporary + "/s";
  }
  const std::size_t cut = place.rfind('/');
  const std::string leaf = place.substr(cut + 1);
  const UniqueFd directory(::open(place.substr(0, cut).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return Error::from_errno("open " + place.substr(0, cut) + ", where the UNIX socket " + shown + " is");
  }
  auto room = make_room(directory.get(), leaf, name);
  if (!room.ok()) {
    return std::move(room).error();
  }
  if (const int error = shared.socket_names->bind(fd, directory.get(), leaf.c_str(), shown); error != 0) {
    return Error(error, what);
  }
  auto file = bound_file(directory.get(), leaf, name);
  if (!temporary.empty()) {
    ::unlinkat(directory.get(), leaf.c_str(), 0);
    ::rmdir(temporary.c_str());
  }
  return file;
}

}  // namespace

std::string to_text(const UnixName& name) {
  const std::string path = path_of(name.address);
  if (!path.empty()) {
    return name.directory.empty() || path.front() == '/' ? path : name.directory + "/" + path;
  }
  constexpr std::size_t kPath = offsetof(sockaddr_un, sun_path);
  std::string text = "@";
  for (std::size_t i = kPath + 1; i < name.address.size(); ++i) {
    text += name.address[i] >= ' ' && name.address[i] < 0x7f ? static_cast<char>(name.address[i]) : '?';
  }
  return text;
}

UnixName unix_name(const interpose::Shared& shared, int fd, bool of_peer, std::uint64_t file) {
  UnixName name;
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if ((of_peer ? ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size)
               : ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size)) != 0 ||
      size <= offsetof(sockaddr_un, sun_path)) {
    return name;
  }
  size = std::min<socklen_t>(size, sizeof address);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&address);
  name.address.assign(bytes, bytes + size);
  const std::string path = path_of(name.address);
  if (path.empty()) {
    return name;
  }
  name.file = file;
  mode_t mode = 0777;
  if (const auto bound = shared.socket_names ? shared.socket_names->find(path) : std::nullopt) {
    std::string place = bound->place;
    name.unlinked = !is_socket_file(AT_FDCWD, place, file, mode);
    if (name.unlinked && file != 0) {
      place = interpose::find_inode_near(place, file);
      name.unlinked = place.empty() || !is_socket_file(AT_FDCWD, place, file, mode);
    }
    name.address = shown_unix_address(shared, std::move(name.address));
    name.place = name.unlinked ? "" : to_image_path(shared, place);
    name.mode = mode;
    return name;
  }
  if (path.front() == '/') {
    name.unlinked = !is_socket_file(AT_FDCWD, path, file, mode);
  } else {
    // The kernel keeps what bind(2) was given; where that began, a process's directory may still show.
    name.unlinked = true;
    for (const auto& [host, process] : shared.tasks.processes()) {
      const std::string cwd = "/proc/" + std::to_string(host.value()) + "/cwd";
      if (is_socket_file(AT_FDCWD, cwd + "/" + path, file, mode)) {
        std::error_code fault;
        name.directory = std::filesystem::read_symlink(cwd, fault);
        name.unlinked = false;
        break;
      }
    }
    if (name.unlinked && file != 0) {
      find_directory(shared, path, file, mode, name);
    }
  }
  name.mode = mode;
  return name;
}

std::vector<std::uint8_t> shown_unix_address(const interpose::Shared& shared, std::vector<std::uint8_t> address) {
  const auto bound = shared.socket_names ? shared.socket_names->find(path_of(address)) : std::nullopt;
  if (bound) {
    address.resize(offsetof(sockaddr_un, sun_path));
    address.insert(address.end(), bound->shown.begin(), bound->shown.end());
    address.push_back(0);
  }
  return address;
}

Result<UniqueFd> bind_unix_name(const interpose::Shared& shared, int fd, const UnixName& name) {
  const std::string path = path_of(name.address);
  // A path without a final zero is a byte longer than its structure (unix(7)).
  if (name.address.size() < sizeof(sa_family_t) || name.address.size() > sizeof(sockaddr_un) + 1) {
    return Error(kDamaged, "the name of a UNIX socket");
  }
  if (path.empty()) {
    BEAM_TRY(bind_there(fd, name, AT_FDCWD));
    return UniqueFd();
  }
  if (shared.socket_names) {
    return bind_in_view(shared, fd, name, path);
  }
  UniqueFd directory;
  std::string temporary;
  if (path.front() != '/') {
    std::string where = name.directory;
    if (where.empty()) {
      temporary = std::filesystem::temp_directory_path() / "beam-name-XXXXXX";
      if (::mkdtemp(temporary.data()) == nullptr) {
        return Error::from_errno("make a directory for the UNIX socket " + path);
      }
      where = temporary;
    }
    directory.reset(::open(where.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) {
      return Error::from_errno("open " + where + ", where the UNIX socket " + path + " is");
    }
  }
  const int base = directory ? directory.get() : AT_FDCWD;
  if (name.unlinked) {
    auto bound = bind_unlinked(fd, name, base, path);
    if (!temporary.empty()) {
      ::rmdir(temporary.c_str());
    }
    return bound;
  }
  BEAM_TRY(make_room(base, path, name));
  BEAM_TRY(bind_there(fd, name, base));
  return bound_file(base, path, name);
}

}  // namespace beam::migrate
