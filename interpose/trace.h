// The lines of `beam run --trace`: one for each interposed call, as strace(1) prints them, with virtual names, the
// host's beside them where they differ, the result and the duration.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"
#include "interpose/syscall_args.h"

namespace beam::interpose {

struct SyscallDeclaration;

class Trace {
 public:
  // `fd` is not owned; -1 switches the trace off. `classes` are strace's: process, file, signal, network, ipc, desc,
  // memory.
  Trace(int fd, const std::vector<std::string>& classes);

  [[nodiscard]] bool wants(const SyscallDeclaration& call) const;
  // `began` and now in nanoseconds of CLOCK_MONOTONIC.
  void line(VirtualPid vtid, const std::string& call, std::int64_t result, const std::string& host_note,
            std::uint64_t began);
  // A call that was passed on to the kernel, which alone knows its result.
  void passed(VirtualPid vtid, const std::string& call, std::uint64_t began);
  // "name(args)", read from the caller's memory while it waits.
  [[nodiscard]] static std::string describe(const SyscallDeclaration& call, const GuestMemory& memory,
                                            const RawArgs& args);
  [[nodiscard]] static std::uint64_t now();
  // True for words that --trace=CLASS takes.
  [[nodiscard]] static bool is_class(const std::string& word);

 private:
  int fd_;
  std::vector<bool> wanted_;
  std::mutex mutex_;
};

}  // namespace beam::interpose
