#include "ns/pid_space.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace beam::ns {

PidSpace::PidSpace(pid_t limit) : limit_(limit) {}

VirtualPid PidSpace::allocate(HostPid host) {
  const std::unique_lock lock(mutex_);
  drop(host);
  do {
    ++last_;
    if (last_ >= limit_) {
      last_ = kFirstAfterWrap;
    }
  } while (to_host_.contains(VirtualPid(last_)));
  to_virtual_[host] = VirtualPid(last_);
  to_host_[VirtualPid(last_)] = host;
  return VirtualPid(last_);
}

bool PidSpace::bind(HostPid host, VirtualPid virtual_pid) {
  const std::unique_lock lock(mutex_);
  if (to_host_.contains(virtual_pid)) {
    return false;
  }
  drop(host);
  to_virtual_[host] = virtual_pid;
  to_host_[virtual_pid] = host;
  last_ = std::max(last_, virtual_pid.value());
  return true;
}

void PidSpace::release(HostPid host) {
  const std::unique_lock lock(mutex_);
  const auto it = to_virtual_.find(host);
  if (it == to_virtual_.end()) {
    return;
  }
  const VirtualPid virtual_pid = it->second;
  drop(host);
  dead_[host] = virtual_pid;
  dead_order_.push_back(host);
  if (dead_order_.size() > kRememberedDead) {
    dead_.erase(dead_order_.front());
    dead_order_.pop_front();
  }
}

void PidSpace::retire(HostPid host) {
  const std::unique_lock lock(mutex_);
  retired_.push_back(host);
  if (retired_.size() > 256) {
    purge_retired();
  }
}

VirtualPid PidSpace::to_virtual(HostPid host) const {
  const std::shared_lock lock(mutex_);
  const auto it = to_virtual_.find(host);
  if (it != to_virtual_.end()) {
    return it->second;
  }
  const auto dead = dead_.find(host);
  if (dead != dead_.end()) {
    return dead->second;
  }
  const auto alias = aliases_.find(host);
  return alias == aliases_.end() ? VirtualPid() : alias->second;
}

HostPid PidSpace::to_host(VirtualPid virtual_pid) const {
  const std::shared_lock lock(mutex_);
  const auto it = to_host_.find(virtual_pid);
  return it == to_host_.end() ? HostPid() : it->second;
}

VirtualPid PidSpace::last() const {
  const std::shared_lock lock(mutex_);
  return VirtualPid(last_);
}

void PidSpace::set_last(VirtualPid last) {
  const std::unique_lock lock(mutex_);
  last_ = std::max(last_, last.value());
}

void PidSpace::alias(HostPid host, VirtualPid virtual_pid) {
  const std::unique_lock lock(mutex_);
  aliases_[host] = virtual_pid;
}

void PidSpace::drop(HostPid host) {
  aliases_.erase(host);
  if (dead_.erase(host) != 0) {
    std::erase(dead_order_, host);
  }
  const auto it = to_virtual_.find(host);
  if (it != to_virtual_.end()) {
    to_host_.erase(it->second);
    to_virtual_.erase(it);
    std::erase(retired_, host);
  }
}

// A retired id is free once no group and no session carries it. A session whose leader and every group leader have died
// still has members in some group; those members' getsid() is then answered by the entry, so it stays while the group
// of the same number lives, which kill(2) with signal 0 tells without reaching anything.
void PidSpace::purge_retired() {
  std::vector<HostPid> gone;
  for (const HostPid host : retired_) {
    if (::kill(-host.value(), 0) != 0 && errno == ESRCH) {
      gone.push_back(host);
    }
  }
  for (const HostPid host : gone) {
    drop(host);
  }
}

}  // namespace beam::ns
