// Reading and writing the memory of one task of the sandbox, running or stopped, by process_vm_readv(2) and, where the
// page is not writable to the program, /proc/PID/mem (proc(5), which ptrace access makes ignore the page's protection).
//
// Named by thread id, never by the group's: with a zombie leader /proc/TGID and process_vm_readv of the leader fail.
// All functions return 0 or an errno value: EFAULT is the program's fault, ESRCH means that the task died meanwhile.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/ids.h"

namespace beam::interpose {

class GuestMemory {
 public:
  explicit GuestMemory(HostPid tid) : tid_(tid) {}

  [[nodiscard]] int read(std::uint64_t address, void* to, std::size_t size) const;
  [[nodiscard]] int write(std::uint64_t address, const void* from, std::size_t size) const;
  // Also into pages that the program can only read or execute: copies on write, as a debugger's breakpoint does.
  [[nodiscard]] int write_forced(std::uint64_t address, const void* from, std::size_t size) const;
  // A NUL-terminated string shorter than `limit`. ENAMETOOLONG when there is no NUL within `limit` bytes.
  [[nodiscard]] int read_string(std::uint64_t address, std::string& to, std::size_t limit) const;
  // As much as is readable, up to `size`: the number of bytes, 0 when none is.
  [[nodiscard]] std::size_t read_some(std::uint64_t address, void* to, std::size_t size) const;

  template <typename T>
  [[nodiscard]] int read(RemotePtr<T> at, T& to) const {
    return read(at.address(), &to, sizeof(T));
  }
  template <typename T>
  [[nodiscard]] int write(RemotePtr<T> at, const T& from) const {
    return write(at.address(), &from, sizeof(T));
  }

 private:
  HostPid tid_;
};

}  // namespace beam::interpose
