#include "interpose/guest_memory.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kPage = 4096;

iovec remote_range(std::uint64_t address, std::size_t size) {
  return {reinterpret_cast<void*>(address), size};  // NOLINT: an address of another process
}

}  // namespace

int GuestMemory::read(std::uint64_t address, void* to, std::size_t size) const {
  const iovec local{to, size};
  const iovec remote = remote_range(address, size);
  const ssize_t got = ::process_vm_readv(tid_.value(), &local, 1, &remote, 1, 0);
  if (got < 0) {
    return errno;
  }
  return static_cast<std::size_t>(got) == size ? 0 : EFAULT;
}

std::size_t GuestMemory::read_some(std::uint64_t address, void* to, std::size_t size) const {
  const iovec local{to, size};
  const iovec remote = remote_range(address, size);
  const ssize_t got = ::process_vm_readv(tid_.value(), &local, 1, &remote, 1, 0);
  return got < 0 ? 0 : static_cast<std::size_t>(got);
}

int GuestMemory::write(std::uint64_t address, const void* from, std::size_t size) const {
  const iovec local{const_cast<void*>(from), size};
  const iovec remote = remote_range(address, size);
  const ssize_t put = ::process_vm_writev(tid_.value(), &local, 1, &remote, 1, 0);
  if (put < 0) {
    return errno;
  }
  return static_cast<std::size_t>(put) == size ? 0 : EFAULT;
}

int GuestMemory::write_forced(std::uint64_t address, const void* from, std::size_t size) const {
  const std::string path = "/proc/" + std::to_string(tid_.value()) + "/mem";
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    return errno == ENOENT ? ESRCH : errno;
  }
  const auto* bytes = static_cast<const char*>(from);
  while (size > 0) {
    const ssize_t put = ::pwrite(fd.get(), bytes, size, static_cast<off_t>(address));
    if (put <= 0) {
      // The kernel answers EIO for an address that is not mapped, and 0 once the address space is gone.
      return put == 0 ? ESRCH : (errno == EIO ? EFAULT : errno);
    }
    bytes += put;
    address += static_cast<std::uint64_t>(put);
    size -= static_cast<std::size_t>(put);
  }
  return 0;
}

int GuestMemory::read_string(std::uint64_t address, std::string& to, std::size_t limit) const {
  to.clear();
  char chunk[512];
  while (to.size() < limit) {
    // Never over a page boundary with the first chunk: the next page may not be there, and need not.
    const std::size_t to_boundary = kPage - address % kPage;
    const std::size_t want = std::min({sizeof chunk, to_boundary, limit - to.size()});
    const int error = read(address, chunk, want);
    if (error != 0) {
      return error;
    }
    const auto* end = static_cast<const char*>(std::memchr(chunk, 0, want));
    if (end != nullptr) {
      to.append(chunk, static_cast<std::size_t>(end - chunk));
      return 0;
    }
    to.append(chunk, want);
    address += want;
  }
  return ENAMETOOLONG;
}

}  // namespace beam::interpose
