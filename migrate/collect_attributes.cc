// What a thread or process has beyond the ordinary: scheduling, credentials, filters, timers. Only where it differs
// from the supervisor's own, so that a thaw by another user's hand or on another machine leaves the rest as it is
// there.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "interpose/cpu_clock.h"
#include "migrate/collector.h"
#include "migrate/kernel_structs.h"

namespace beam::migrate {
namespace {

constexpr int kIoPriorityOfProcess = 1;  // IOPRIO_WHO_PROCESS, linux/ioprio.h

Result<Scheduling> scheduling_of(pid_t tid) {
  KernelSchedAttr attr{};
  if (::syscall(SYS_sched_getattr, tid, &attr, sizeof attr, 0) != 0) {
    return Error::from_errno("read the scheduling of task " + std::to_string(tid));
  }
  return Scheduling{attr.policy, attr.flags, attr.nice, attr.priority, attr.runtime, attr.deadline, attr.period};
}

bool same(const Scheduling& a, const Scheduling& b) {
  return a.policy == b.policy && a.flags == b.flags && a.nice == b.nice && a.priority == b.priority &&
         a.runtime == b.runtime && a.deadline == b.deadline && a.period == b.period;
}

std::vector<std::uint64_t> affinity_of(pid_t tid) {
  std::vector<std::uint64_t> mask(16);
  for (;;) {
    const long got = ::syscall(SYS_sched_getaffinity, tid, mask.size() * sizeof mask[0], mask.data());
    if (got >= 0) {
      mask.resize(static_cast<std::size_t>(got) / sizeof mask[0]);
      return mask;
    }
    if (errno != EINVAL || mask.size() > 4096) {
      return {};
    }
    mask.resize(mask.size() * 2);
  }
}

std::string_view line_of(std::string_view status, std::string_view name) {
  const std::string_view value = info_value(status, name);
  return value.substr(0, value.find('\n'));
}

std::vector<std::uint32_t> numbers(std::string_view text) {
  std::vector<std::uint32_t> list;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (at < end) {
    std::uint32_t value = 0;
    const auto parsed = std::from_chars(at, end, value);
    if (parsed.ptr == at) {
      ++at;
      continue;
    }
    list.push_back(value);
    at = parsed.ptr;
  }
  return list;
}

std::uint64_t hexadecimal_value(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

// Whether a thread of this supervisor, which a thaw is made by, may be given it.
bool may_have(const Scheduling& scheduling) {
  bool possible = false;
  std::thread([&] { possible = set_scheduling(0, scheduling); }).join();
  return possible;
}

}  // namespace

bool set_scheduling(pid_t tid, const Scheduling& scheduling) {
  KernelSchedAttr attr{};
  attr.size = sizeof attr;
  attr.policy = scheduling.policy;
  attr.flags = scheduling.flags;
  attr.nice = scheduling.nice;
  attr.priority = scheduling.priority;
  attr.runtime = scheduling.runtime;
  attr.deadline = scheduling.deadline;
  attr.period = scheduling.period;
  // SCHED_IDLE's niceness is kept for later, and set by another call only (kernel/sched/syscalls.c
  // __setscheduler_params).
  return ::syscall(SYS_sched_setattr, tid, &attr, 0) == 0 &&
         (scheduling.policy != SCHED_IDLE || ::setpriority(PRIO_PROCESS, static_cast<id_t>(tid), scheduling.nice) == 0);
}

Result<> Collector::read_own_attributes() {
  BEAM_TRY_ASSIGN(own_.scheduling, scheduling_of(0));
  own_.affinity = affinity_of(0);
  own_.io_priority = static_cast<std::int32_t>(::syscall(SYS_ioprio_get, kIoPriorityOfProcess, 0));
  own_.timer_slack = static_cast<std::uint64_t>(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
  BEAM_TRY_ASSIGN(own_.status, read_proc_file(HostPid(::getpid()), "status"));
  BEAM_TRY_ASSIGN(own_.oom_score_adjustment, read_proc_file(HostPid(::getpid()), "oom_score_adj"));
  return success();
}

Result<> Collector::attributes(const interpose::Task& task, ThreadAttributes& state) {
  const pid_t tid = task.tid.value();
  const std::string name = task.vtid == task.process->vpid ? "" : " of thread " + std::to_string(task.vtid.value());
  BEAM_TRY_ASSIGN(const Scheduling scheduling, scheduling_of(tid));
  if (!same(scheduling, own_.scheduling)) {
    state.scheduling = scheduling;
    if (!may_have(scheduling)) {
      obstacle(task.process->vpid, "scheduling" + name,
               "policy " + std::to_string(scheduling.policy) + " with nice " + std::to_string(scheduling.nice) +
                   " and priority " + std::to_string(scheduling.priority) +
                   " can't be given to a new process without privilege");
    }
  }
  auto affinity = affinity_of(tid);
  if (affinity != own_.affinity) {
    state.affinity = std::move(affinity);
  }
  const auto io_priority = static_cast<std::int32_t>(::syscall(SYS_ioprio_get, kIoPriorityOfProcess, tid));
  if (io_priority != own_.io_priority && io_priority >= 0) {
    state.io_priority = io_priority;
  }
  if (task.process->credentials_changed) {
    BEAM_TRY_ASSIGN(const std::string status, read_proc_file(task.tid, "status"));
    state.credentials = credentials(status);
  }
  if (task.filters != nullptr) {
    state.strict = task.filters->strict;
    for (const auto& filter : task.filters->list) {
      const auto [known, fresh] = filters_.emplace(filter.get(), static_cast<std::uint32_t>(state_.filters.size()));
      if (fresh) {
        FilterState record;
        record.flags = filter->flags;
        record.program.resize(filter->program.size());
        static_assert(sizeof(sock_filter) == sizeof record.program[0]);
        std::memcpy(record.program.data(), filter->program.data(), filter->program.size() * sizeof(sock_filter));
        state_.filters.push_back(std::move(record));
      }
      state.filters.push_back(known->second);
    }
  }
  return success();
}

// Nothing where they are the supervisor's.
std::optional<Credentials> Collector::credentials(const std::string& status) const {
  constexpr const char* kLines[] = {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
  if (std::all_of(std::begin(kLines), std::end(kLines),
                  [&](const char* line) { return line_of(own_.status, line) == line_of(status, line); })) {
    return std::nullopt;
  }
  Credentials state;
  state.users = numbers(line_of(status, "Uid"));
  state.groups = numbers(line_of(status, "Gid"));
  state.supplementary = numbers(line_of(status, "Groups"));
  state.inheritable = hexadecimal_value(line_of(status, "CapInh"));
  state.permitted = hexadecimal_value(line_of(status, "CapPrm"));
  state.effective = hexadecimal_value(line_of(status, "CapEff"));
  state.bounding = hexadecimal_value(line_of(status, "CapBnd"));
  state.ambient = hexadecimal_value(line_of(status, "CapAmb"));
  return state;
}

// /proc/PID/timers (proc(5)): a group of lines a timer.
Result<> Collector::posix_timers(Remote& remote, ProcessState& state) {
  const auto text = read_proc_file(remote.task().tid, "timers");
  if (!text.ok() && text.error().code() == ENOENT) {
    return success();  // a kernel that does not show them (CONFIG_CHECKPOINT_RESTORE)
  }
  BEAM_TRY(text);
  const auto& pids = sandbox_.shared().pids;
  std::string_view rest = *text;
  while (rest.starts_with("ID: ")) {
    const auto next = rest.find("\nID: ");
    const std::string group(rest.substr(0, next));
    rest = next == std::string_view::npos ? std::string_view() : rest.substr(next + 1);
    PosixTimer timer;
    char how[32] = {};
    char whom[16] = {};
    int thread = 0;
    int clock = 0;
    unsigned long value = 0;
    if (std::sscanf(group.c_str(), "ID: %d signal: %d/%lx notify: %31[^/]/%15[^.].%d ClockID: %d", &timer.id,
                    &timer.signal, &value, how, whom, &thread, &clock) != 7) {
      return Error(EPROTO, "read the timers of process " + std::to_string(state.vpid));
    }
    timer.value = value;
    const std::string_view notify(how);
    timer.notify = notify == "none" ? SIGEV_NONE : notify == "thread" ? SIGEV_THREAD : SIGEV_SIGNAL;
    if (std::string_view(whom) == "tid") {
      timer.notify |= SIGEV_THREAD_ID;
      timer.thread = pids.to_virtual(HostPid(thread)).value();
    }
    timer.clock = interpose::virtual_clock(sandbox_.shared(), clock);
    state.posix_timers.push_back(timer);
  }
  constexpr std::size_t kAtOnce = 256;
  for (std::size_t done = 0; done < state.posix_timers.size(); done += kAtOnce) {
    Batch batch(remote);
    std::vector<std::uint64_t> places;
    const std::size_t end = std::min(state.posix_timers.size(), done + kAtOnce);
    for (std::size_t i = done; i < end; ++i) {
      places.push_back(batch.put(itimerspec{}));
      batch.add("read a timer", SYS_timer_gettime, static_cast<std::uint64_t>(state.posix_timers[i].id), places.back());
    }
    BEAM_TRY(batch.run());
    for (std::size_t i = done; i < end; ++i) {
      const auto value = batch.get<itimerspec>(places[i - done]);
      const auto ns = [](const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; };
      state.posix_timers[i].interval_ns = ns(value.it_interval);
      const std::int64_t left = ns(value.it_value);
      const bool by_clock = state.posix_timers[i].clock >= 0 &&
                            state.posix_timers[i].clock != CLOCK_PROCESS_CPUTIME_ID &&
                            state.posix_timers[i].clock != CLOCK_THREAD_CPUTIME_ID;
      state.posix_timers[i].left_ns = by_clock ? context_.left_when_begun(left) : left;
    }
  }
  return success();
}

}  // namespace beam::migrate
