#include "runtime/local_socket.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "runtime/paths.h"

namespace beam::runtime {
namespace {

constexpr int kBacklog = 128;

struct sockaddr_un address_below(int directory, const std::string& leaf) {
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + leaf;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

std::string random_leaf() {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, GRND_INSECURE) != static_cast<ssize_t>(sizeof random)) {
    random = static_cast<std::uint64_t>(::getpid());
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%016llx.sock", static_cast<unsigned long long>(random));
  return text.data();
}

}  // namespace

Result<UniqueFd> listen_below_runtime_directory(std::string& path) {
  BEAM_TRY_ASSIGN(const UniqueFd directory, make_runtime_directory());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) {
    return Error::from_errno("make a socket");
  }
  const std::string leaf = random_leaf();
  path = runtime_path() + "/" + leaf;
  const struct sockaddr_un address = address_below(directory.get(), leaf);
  if (::bind(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno(path + ": cannot make a socket").remedy("set XDG_RUNTIME_DIR to a directory of yours");
  }
  if (::listen(socket.get(), kBacklog) != 0) {
    return Error::from_errno(path + ": cannot listen");
  }
  return socket;
}

Result<UniqueFd> connect_socket(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) {
    return Error(ENOENT, "connect to " + path);
  }
  const UniqueFd directory(::open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return Error::from_errno("open " + path.substr(0, slash));
  }
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) {
    return Error::from_errno("make a socket");
  }
  const struct sockaddr_un address = address_below(directory.get(), path.substr(slash + 1));
  if (::connect(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("connect to " + path);
  }
  struct ucred peer {};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
      (peer.uid != ::geteuid() && ::geteuid() != 0)) {
    return Error(EPERM, path + ": another user listens there");
  }
  return socket;
}

Result<UniqueFd> accept_own_user(int listener) {
  UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) {
    return Error::from_errno("accept a connection");
  }
  struct ucred peer {};
  socklen_t length = sizeof peer;
  if (::getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return Error::from_errno("ask who connects");
  }
  if (peer.uid != ::geteuid() && peer.uid != 0) {
    return Error(EPERM, "a connection of user " + std::to_string(peer.uid));
  }
  return client;
}

void unlink_socket(const std::string& path) {
  if (!path.empty()) {
    ::unlink(path.c_str());
  }
}

}  // namespace beam::runtime
