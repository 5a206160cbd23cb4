// Who has asked to be told of a message in an empty queue (mq_notify(3)). The kernel tells a freeze that there is
// somebody, and with which signal, but not what else is to be said. Thread-safe.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "base/ids.h"

namespace beam::interpose {

struct MqNotice {
  int fd = -1;              // of the queue, in the process that asked
  std::int32_t notify = 0;  // SIGEV_*
  std::int32_t signal = 0;  // with SIGEV_THREAD: the netlink socket that the C library waits at
  std::uint64_t value = 0;
  std::string cookie{};  // with SIGEV_THREAD: what is sent there
};

class MqNotices {
 public:
  void note(HostPid process, const struct stat& queue, MqNotice notice) {
    const std::lock_guard lock(mutex_);
    notices_[{process, queue.st_dev, queue.st_ino}] = std::move(notice);
  }
  // What a process has asked for last; whether that still stands, the kernel knows.
  [[nodiscard]] std::optional<MqNotice> find(HostPid process, const struct stat& queue) const {
    const std::lock_guard lock(mutex_);
    const auto found = notices_.find({process, queue.st_dev, queue.st_ino});
    return found == notices_.end() ? std::nullopt : std::optional(found->second);
  }
  void forget(HostPid process) {
    const std::lock_guard lock(mutex_);
    std::erase_if(notices_, [&](const auto& entry) { return std::get<0>(entry.first) == process; });
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::tuple<HostPid, dev_t, ino_t>, MqNotice> notices_;
};

}  // namespace beam::interpose
