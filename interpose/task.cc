#include "interpose/task.h"

#include "base/check.h"
#include "interpose/call.h"

namespace beam::interpose {

TaskTable::TaskTable() = default;
TaskTable::~TaskTable() = default;

std::optional<Caller> TaskTable::caller(HostPid tid) const {
  const std::shared_lock lock(mutex_);
  const auto it = tasks_.find(tid);
  if (it == tasks_.end()) {
    return std::nullopt;
  }
  Task& task = *it->second;
  return Caller{tid, task.vtid, task.process, task.escalated.load(std::memory_order_acquire)};
}

Task* TaskTable::find(HostPid tid) const {
  const auto it = tasks_.find(tid);
  return it == tasks_.end() ? nullptr : it->second.get();
}

std::shared_ptr<Process> TaskTable::process(HostPid host) const {
  const std::shared_lock lock(mutex_);
  const auto it = processes_.find(host);
  return it == processes_.end() ? nullptr : it->second;
}

Task& TaskTable::add(HostPid tid, VirtualPid vtid, std::shared_ptr<Process> process) {
  const std::unique_lock lock(mutex_);
  auto task = std::make_unique<Task>();
  task->tid = tid;
  task->vtid = vtid;
  ++process->threads;
  task->process = std::move(process);
  auto& slot = tasks_[tid];
  BEAM_CHECK(slot == nullptr);
  slot = std::move(task);
  return *slot;
}

void TaskTable::remove(HostPid tid) {
  const std::unique_lock lock(mutex_);
  const auto it = tasks_.find(tid);
  if (it != tasks_.end()) {
    --it->second->process->threads;
    tasks_.erase(it);
  }
}

void TaskTable::become_leader(HostPid old_tid, HostPid leader, VirtualPid leader_vtid) {
  const std::unique_lock lock(mutex_);
  const auto it = tasks_.find(old_tid);
  BEAM_CHECK(it != tasks_.end());
  auto node = tasks_.extract(it);
  const auto old_leader = tasks_.find(leader);
  if (old_leader != tasks_.end()) {
    --old_leader->second->process->threads;
    tasks_.erase(old_leader);
  }
  node.key() = leader;
  node.mapped()->tid = leader;
  node.mapped()->vtid = leader_vtid;
  tasks_.insert(std::move(node));
}

void TaskTable::add_process(const std::shared_ptr<Process>& process) {
  const std::unique_lock lock(mutex_);
  processes_[process->host] = process;
}

void TaskTable::remove_process(HostPid host) {
  const std::unique_lock lock(mutex_);
  processes_.erase(host);
}

}  // namespace beam::interpose
