// Answer threads: each waits at a seccomp listener (seccomp_unotify(2)), finds the caller, runs the call's handler and
// sends the answer. A listener lives as long as a process with its filter does.
//
// Nothing that can block may stay in the last free thread of a listener, so handlers never wait for another process.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace beam::interpose {

struct Shared;

class ListenerPool {
 public:
  explicit ListenerPool(Shared& shared);
  // All processes of the sandbox must have ended: then every listener has hung up.
  ~ListenerPool();
  void add(UniqueFd listener);
  // The listeners' descriptors, for tests of liveness.
  [[nodiscard]] std::size_t size() const;

 private:
  struct Listener;
  void serve(Listener& listener);

  Shared& shared_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace beam::interpose
