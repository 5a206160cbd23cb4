// The lines of `beam run --trace`: one for each interposed call, as strace(1) prints them, with virtual names, the
// host's beside them where they differ, the result and the duration.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"
#include "interpose/syscall_args.h"

namespace beam::interpose {

struct SyscallDeclaration;

// A call that is to be printed, from its start to its end.
struct TracedCall {
  const SyscallDeclaration* call = nullptr;
  VirtualPid vtid;
  RawArgs args{};
  std::vector<std::string> texts;  // one an argument, as they were when the call was made
  std::uint64_t began = 0;         // nanoseconds of CLOCK_MONOTONIC
};

class Trace {
 public:
  // `fd` is not owned; -1 switches the trace off. `classes` are strace's: process, file, signal, network, ipc, desc,
  // memory. `pids` must outlive the trace.
  Trace(int fd, const std::vector<std::string>& classes, const ns::PidSpace& pids);

  [[nodiscard]] bool wants(const SyscallDeclaration& call) const;
  // While the caller waits, at the call's start; null when it is not wanted.
  [[nodiscard]] std::unique_ptr<TracedCall> begin(const SyscallDeclaration& call, VirtualPid vtid,
                                                  const GuestMemory& memory, const RawArgs& args) const;
  // While the caller still waits, at the call's end. `host`: the result before it was translated.
  void end(const TracedCall& traced, const GuestMemory& memory, std::int64_t result, std::int64_t host);
  void end(const TracedCall& traced, const GuestMemory& memory, std::int64_t result) {
    end(traced, memory, result, result);
  }
  // True for words that --trace=CLASS takes.
  [[nodiscard]] static bool is_class(const std::string& word);

 private:
  [[nodiscard]] std::string result_text(const TracedCall& traced, std::int64_t result, std::int64_t host) const;

  int fd_;
  const ns::PidSpace& pids_;
  std::vector<bool> wanted_;
  std::mutex mutex_;
};

}  // namespace beam::interpose
