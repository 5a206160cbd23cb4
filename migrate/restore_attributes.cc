// What a thread or process has beyond the ordinary: scheduling, credentials, filters, timers.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/log.h"
#include "interpose/cpu_clock.h"
#include "interpose/own_filters.h"
#include "migrate/collector.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

constexpr int kIoPriorityOfProcess = 1;  // IOPRIO_WHO_PROCESS, linux/ioprio.h
constexpr int kTimerRestoreIds = 77;     // PR_TIMER_CREATE_RESTORE_IDS, since Linux 6.15

timespec as_timespec(std::int64_t ns) {
  return {ns / 1'000'000'000, ns % 1'000'000'000};
}

}  // namespace

// All capabilities are kept over the change of ids, so that each step may be taken; the last takes the rest away.
void Restorer::set_credentials(Batch& batch, const Credentials& credentials, std::uint32_t secure_bits) {
  const auto& user = credentials.users;
  const auto& group = credentials.groups;
  batch.add("keep the capabilities for now", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
  std::vector<std::uint32_t> supplementary = credentials.supplementary;
  const std::size_t count = supplementary.size();
  supplementary.resize(std::max<std::size_t>(count, 1));
  batch.add("set the supplementary groups", SYS_setgroups, count,
            batch.put_bytes(supplementary.data(), supplementary.size() * sizeof supplementary[0]));
  for (std::uint64_t capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if ((credentials.bounding >> capability & 1U) == 0) {
      batch.add("bound the capabilities", SYS_prctl, PR_CAPBSET_DROP, capability);
    }
  }
  batch.add("set the group ids", SYS_setresgid, group[0], group[1], group[2]);
  batch.add("set the file system's group id", SYS_setfsgid, group[3]);
  batch.add("set the user ids", SYS_setresuid, user[0], user[1], user[2]);
  batch.add("set the file system's user id", SYS_setfsuid, user[3]);
  batch.add("set the secure bits", SYS_prctl, PR_SET_SECUREBITS, secure_bits);
  const __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  for (std::size_t half = 0; half < 2; ++half) {
    sets[half].effective = static_cast<std::uint32_t>(credentials.effective >> (half * 32));
    sets[half].permitted = static_cast<std::uint32_t>(credentials.permitted >> (half * 32));
    sets[half].inheritable = static_cast<std::uint32_t>(credentials.inheritable >> (half * 32));
  }
  const std::uint64_t header_at = batch.put(header);
  batch.add("set the capabilities", SYS_capset, header_at, batch.put(sets));
  for (std::uint64_t capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if ((credentials.ambient >> capability & 1U) != 0) {
      batch.add("set an ambient capability", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability);
    }
  }
  // A change of ids has closed its memory to the supervisor (PR_SET_DUMPABLE in prctl(2)).
  batch.add("let it be looked into", SYS_prctl, PR_SET_DUMPABLE, 1);
}

Result<> Restorer::set_attributes(Remote& remote, const ThreadAttributes& attributes) {
  auto& task = const_cast<interpose::Task&>(remote.task());
  const pid_t tid = task.tid.value();
  task.process->credentials_changed = task.process->credentials_changed || attributes.credentials;
  if (attributes.scheduling && !set_scheduling(tid, *attributes.scheduling)) {
    return Error::from_errno("set the scheduling of thread " + std::to_string(task.vtid.value()))
        .remedy("its policy or priority takes privileges that it had there (RLIMIT_NICE, RLIMIT_RTPRIO)");
  }
  if (!attributes.affinity.empty() &&
      ::syscall(SYS_sched_setaffinity, tid, attributes.affinity.size() * sizeof(std::uint64_t),
                attributes.affinity.data()) != 0) {
    BEAM_LOG_WARN(kMigrate, "thread {}: none of the processors that it may run on is here; it runs on any",
                  task.vtid.value());
  }
  if (attributes.io_priority && ::syscall(SYS_ioprio_set, kIoPriorityOfProcess, tid, *attributes.io_priority) != 0) {
    return Error::from_errno("set the I/O priority of thread " + std::to_string(task.vtid.value()));
  }
  if (attributes.no_new_privs) {
    task.no_new_privs = *attributes.no_new_privs != 0;
  }
  return install_filters(remote, task, attributes);
}

Result<> Restorer::install_filters(Remote& remote, interpose::Task& task, const ThreadAttributes& attributes) {
  if (attributes.filters.empty()) {
    return success();
  }
  while (filters_.size() < state_.filters.size()) {
    const FilterState& record = state_.filters[filters_.size()];
    auto filter = std::make_shared<interpose::OwnFilter>();
    filter->flags = record.flags;
    filter->program.resize(record.program.size());
    std::memcpy(filter->program.data(), record.program.data(), record.program.size() * sizeof(sock_filter));
    filters_.push_back(std::move(filter));
  }
  auto installed = std::make_shared<interpose::OwnFilters>();
  installed->strict = attributes.strict;
  for (const std::uint32_t index : attributes.filters) {
    const auto& filter = filters_.at(index);
    const auto program = interpose::rewrite_own_filter(filter->program);
    if (program.empty() || program.size() > BPF_MAXINSNS) {
      return Error(kDamaged, "a seccomp filter is none");
    }
    Batch batch(remote);
    const std::uint64_t code = batch.put_bytes(program.data(), program.size() * sizeof(sock_filter));
    sock_fprog header{};
    header.len = static_cast<unsigned short>(program.size());
    header.filter = reinterpret_cast<sock_filter*>(code);  // NOLINT: an address of the program's
    // What else a flag asked for was for that moment (SECCOMP_FILTER_FLAG_TSYNC), or made a descriptor.
    const std::uint64_t flags = filter->flags & (SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    batch.add("install a seccomp filter", SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, batch.put(header));
    BEAM_TRY(batch.run());
    installed->list.push_back(filter);
  }
  const std::unique_lock lock(tracer_.shared().tasks.mutex());
  task.filters = std::move(installed);
  return success();
}

// With the ids that they had; stopped as yet.
Result<> Restorer::make_timers(Remote& remote, const ProcessState& process) {
  if (process.posix_timers.empty()) {
    return success();
  }
  BEAM_TRY_ASSIGN(const std::int64_t chosen, remote.raw_call(SYS_prctl, kTimerRestoreIds, 1));
  std::vector<const PosixTimer*> timers;
  for (const PosixTimer& timer : process.posix_timers) {
    timers.push_back(&timer);
  }
  std::sort(timers.begin(), timers.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  for (const PosixTimer* timer : timers) {
    sigevent event{};
    event.sigev_notify = timer->notify;
    event.sigev_signo = timer->signal;
    std::memcpy(&event.sigev_value, &timer->value, sizeof timer->value);
    if ((timer->notify & SIGEV_THREAD_ID) != 0) {
      const HostPid thread = tracer_.shared().pids.to_host(VirtualPid(timer->thread));
      event._sigev_un._tid = thread != HostPid() ? thread.value() : remote.task().tid.value();
    }
    const auto clock = interpose::host_clock(tracer_.shared(), timer->clock);
    for (std::int32_t made = -1; made != timer->id;) {
      Batch batch(remote);
      const std::uint64_t id = batch.put(timer->id);
      batch.add("make a timer", SYS_timer_create, static_cast<std::uint64_t>(static_cast<std::int64_t>(clock)),
                batch.put(event), id);
      BEAM_TRY(batch.run());
      made = batch.get<std::int32_t>(id);
      if (made > timer->id) {
        return Error(ENOTSUP, "give a timer the number " + std::to_string(timer->id));
      }
      if (made != timer->id) {
        // Before Linux 6.15 the numbers of a process's timers only rise.
        BEAM_TRY(remote.call("delete a timer", SYS_timer_delete, static_cast<std::uint64_t>(made)));
      }
    }
  }
  if (chosen == 0) {
    BEAM_TRY(remote.call("let the kernel number timers", SYS_prctl, kTimerRestoreIds, 0));
  }
  return success();
}

Result<> Restorer::start_timers(const ProcessState& process) {
  Remote remote(*leaders_.at(process.vpid));
  remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
  Batch batch(remote);
  for (const IntervalTimer& timer : process.timers) {
    const auto time = [](std::int64_t us) { return timeval{us / 1'000'000, us % 1'000'000}; };
    const itimerval value{time(timer.interval_us), time(timer.value_us)};
    batch.add("start a timer", SYS_setitimer, static_cast<std::uint64_t>(timer.which), batch.put(value), 0);
  }
  for (const PosixTimer& timer : process.posix_timers) {
    if (timer.left_ns == 0) {
      continue;
    }
    if (!batch.has_room(sizeof(itimerspec))) {
      BEAM_TRY(batch.run());
      batch = Batch(remote);
    }
    const itimerspec value{as_timespec(timer.interval_ns), as_timespec(timer.left_ns)};
    batch.add("start a timer", SYS_timer_settime, static_cast<std::uint64_t>(timer.id), 0, batch.put(value), 0);
  }
  return batch.run();
}

void Restorer::set_oom_score(const ProcessState& process) {
  if (!process.oom_score_adjustment) {
    return;
  }
  const std::string path = "/proc/" + std::to_string(leaders_.at(process.vpid)->tid.value()) + "/oom_score_adj";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(*process.oom_score_adjustment);
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    BEAM_LOG_WARN(kMigrate, "process {}: its oom_score_adj of {} can't be set without privilege here", process.vpid,
                  *process.oom_score_adjustment);
  }
}

}  // namespace beam::migrate
