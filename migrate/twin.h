// A copy-on-write copy of a process's memory, to be read while the process itself goes on.
//
// A twin is a process that never runs an instruction of its own but those that close its descriptors. It belongs to the
// supervisor: forked from a process that shares the original's memory for a moment and ends at once, so that the kernel
// gives it to the nearest reaper. Nobody in the sandbox can see it, wait for it or be told of its end.
//
// Made, and destroyed, on the event thread; its memory may be read by any thread.
#pragma once

#include <utility>

#include "base/result.h"
#include "interpose/task.h"

namespace beam::migrate {

class Twin {
 public:
  // Of a task that is held by a QuiescedSandbox. As long as it takes, no process of the sandbox may be a subreaper.
  static Result<Twin> make(const interpose::Task& task);
  Twin(Twin&& other) noexcept : host_(std::exchange(other.host_, HostPid())) {}
  Twin& operator=(Twin&& other) noexcept;
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;
  ~Twin() { end(); }

  [[nodiscard]] HostPid host() const { return host_; }

 private:
  explicit Twin(HostPid host) : host_(host) {}
  void end();
  HostPid host_;
};

}  // namespace beam::migrate
