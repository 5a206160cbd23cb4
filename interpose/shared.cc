#include "interpose/shared.h"

#include "interpose/route_view.h"

#include <cstdlib>
#include <fstream>

#include "interpose/proc_stat.h"
#include "interpose/socket_names.h"
#include "rootfs/view.h"

namespace beam::interpose {
namespace {

pid_t workstation_pid_limit() {
  pid_t limit = 32768;
  std::ifstream("/proc/sys/kernel/pid_max") >> limit;
  return limit;
}

}  // namespace

Shared::Shared(EngineOptions engine_options, Observer& owner)
    : options(std::move(engine_options)),
      observer(owner),
      pids(workstation_pid_limit()),
      trace(options.trace_fd, options.trace_classes, pids),
      host_name_(options.host_name) {}

Shared::~Shared() = default;

std::string Shared::host_name() const {
  const std::lock_guard lock(name_mutex_);
  return host_name_;
}

void Shared::set_host_name(std::string name) {
  const std::lock_guard lock(name_mutex_);
  host_name_ = std::move(name);
}

std::string Shared::domain_name() const {
  const std::lock_guard lock(name_mutex_);
  return domain_name_;
}

void Shared::set_domain_name(std::string name) {
  const std::lock_guard lock(name_mutex_);
  domain_name_ = std::move(name);
}

pid_t Shared::host_argument(pid_t virtual_pid) const {
  if (virtual_pid <= 0) {
    return virtual_pid;
  }
  const HostPid host = pids.to_host(VirtualPid(virtual_pid));
  return host == HostPid() ? INT32_MAX : host.value();  // PID_MAX_LIMIT is 2^22 (linux/threads.h)
}

std::shared_ptr<Process> Shared::process(VirtualPid vpid) const {
  const HostPid host = pids.to_host(vpid);
  if (host == HostPid()) {
    return nullptr;
  }
  if (const auto caller = tasks.caller(host)) {
    return caller->process;
  }
  return tasks.process(host);
}

VirtualPid Shared::parent_of(Process& process) {
  HostPid parent;
  {
    const std::shared_lock lock(tasks.mutex());
    if (process.parent_known) {
      return pids.to_virtual(process.parent);
    }
  }
  const auto stat = read_proc_stat(process.host);
  parent = stat ? stat->ppid : HostPid();
  const std::unique_lock lock(tasks.mutex());
  process.parent = parent;
  process.parent_known = true;
  const VirtualPid vpid = pids.to_virtual(parent);
  // An orphan that came to the supervisor itself has the sandbox's init for a parent in the view.
  return vpid == VirtualPid() && !process.spawned ? VirtualPid(1) : vpid;
}

}  // namespace beam::interpose
