// A program's own filters: seccomp(2), and prctl(2) PR_SET_SECCOMP and PR_GET_SECCOMP.
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "interpose/own_filters.h"
#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "interpose/unread_memory.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

namespace beam::interpose {
namespace {

// The kernel refuses arguments that it would refuse anyway, and the rest gets a filter of Beam's making.
struct InstallFilter : CallInProgress {
  std::shared_ptr<const OwnFilter> filter;
  bool strict = false;
  unsigned flags = 0;

  void at_exit(ExitCall& call) override {
    if (call.result() > 0 && (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
      // The thread that can't be brought into line.
      call.set_result(call.shared().pids.to_virtual(HostPid(static_cast<pid_t>(call.result()))).value());
      return;
    }
    if (call.result() < 0) {
      return;
    }
    Task& caller = call.task();
    auto filters =
        caller.filters != nullptr ? std::make_shared<OwnFilters>(*caller.filters) : std::make_shared<OwnFilters>();
    filters->strict = strict;
    filters->list.push_back(filter);
    TaskTable& tasks = call.shared().tasks;
    const std::unique_lock lock(tasks.mutex());
    caller.filters = filters;
    const bool no_new_privs = caller.no_new_privs;
    if ((flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
      for (const auto& [tid, task] : tasks.tasks()) {
        if (task->process == caller.process) {
          task->filters = filters;
          task->no_new_privs = task->no_new_privs || no_new_privs;
        }
      }
    }
  }
};

// Puts the changed program where the kernel reads it, and points argument `index` at it.
Rewrite install(RewriteCall& call, std::size_t index, const std::vector<sock_filter>& program,
                std::unique_ptr<InstallFilter> progress) {
  const auto changed = rewrite_own_filter(program);
  if (changed.size() > BPF_MAXINSNS) {
    return Rewrite::error(ENOMEM);  // as for more filters than the kernel takes altogether
  }
  if (changed.empty() || !call.task().process->space->agent_mapped) {
    return Rewrite::pass();  // the kernel refuses it, or nothing will be injected either
  }
  std::vector<std::byte> block(sizeof(sock_fprog) + changed.size() * sizeof(sock_filter));
  std::memcpy(block.data() + sizeof(sock_fprog), changed.data(), changed.size() * sizeof(sock_filter));
  const std::uint64_t place = call.put(*progress, block.data(), block.size());
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  sock_fprog header{};
  header.len = static_cast<unsigned short>(changed.size());
  header.filter = reinterpret_cast<sock_filter*>(place + sizeof header);  // NOLINT: an address of the program's
  if (call.memory().write_forced(place, &header, sizeof header) != 0) {
    call.tracer().release_slots(call.task(), progress->slots);
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, index, place);
  return Rewrite::until_exit(std::move(progress));
}

Rewrite set_filter(RewriteCall& call, std::size_t index, std::uint64_t pointer, unsigned flags) {
  sock_fprog header{};
  if (call.memory().read(pointer, &header, sizeof header) != 0 || header.len == 0 || header.len > BPF_MAXINSNS) {
    return Rewrite::pass();
  }
  // What the kernel would see of this is set for every task of the sandbox.
  constexpr unsigned kFlags = 0x3f;  // SECCOMP_FILTER_FLAG_*
  if ((flags & ~kFlags) == 0 && !call.task().no_new_privs) {
    const auto ids = read_proc_credentials(call.task().tid);
    if (!ids || !ids->may_administer) {
      return Rewrite::error(EACCES);
    }
  }
  std::vector<sock_filter> program(header.len);
  if (call.memory().read(reinterpret_cast<std::uint64_t>(header.filter), program.data(),
                         program.size() * sizeof(sock_filter)) != 0) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<InstallFilter>();
  progress->filter = std::make_shared<OwnFilter>(OwnFilter{program, flags});
  progress->flags = flags;
  return install(call, index, program, std::move(progress));
}

// Behind a filter the kernel has no strict mode any more: turned into a filter that allows as much.
Rewrite set_strict(RewriteCall& call, long number) {
  if (call.task().filters != nullptr) {
    return Rewrite::error(EINVAL);
  }
  auto progress = std::make_unique<InstallFilter>();
  progress->strict = true;
  const auto program = strict_filter();
  progress->filter = std::make_shared<OwnFilter>(OwnFilter{program, 0});
  if (number == SYS_prctl) {
    call.set_arg(*progress, 1, SECCOMP_MODE_FILTER);
    return install(call, 2, program, std::move(progress));
  }
  call.set_arg(*progress, 0, SECCOMP_SET_MODE_FILTER);
  return install(call, 2, program, std::move(progress));
}

BEAM_SYSCALL_WHEN(seccomp, Strategy::kRewrite, (one_of(0, {SECCOMP_SET_MODE_STRICT, SECCOMP_SET_MODE_FILTER})),
                  unsigned operation, unsigned flags, RemotePtr<sock_fprog> arguments) {
  if (operation == SECCOMP_SET_MODE_STRICT) {
    return flags != 0 || arguments ? Rewrite::error(EINVAL) : set_strict(call, SYS_seccomp);
  }
  return set_filter(call, 2, arguments.address(), flags);
}

struct NamedProcess : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

Rewrite naming_process(RewriteCall& call, std::size_t index, std::uint64_t pid) {
  const bool names = pid != 0 && pid <= INT32_MAX;  // PR_SET_PTRACER_ANY is -1
  if (!names) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<NamedProcess>();
  call.set_arg(*progress, index, static_cast<std::uint64_t>(call.shared().host_argument(static_cast<pid_t>(pid))));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_ESCALATED(prctl, int option, std::uint64_t mode, std::uint64_t arguments, std::uint64_t size) {
  if (option == PR_SET_VMA) {
    auto again = read_in_first(call, *call.task().process, {arguments, arguments + size});
    return again ? std::move(*again) : Rewrite::pass();
  }
  if (option == PR_SET_PTRACER) {
    return naming_process(call, 1, mode);
  }
  if (option == PR_SCHED_CORE) {
    return naming_process(call, 2, arguments);
  }
  if (option == PR_GET_SECCOMP) {
    return Rewrite::skip(call.task().filters == nullptr ? SECCOMP_MODE_DISABLED : SECCOMP_MODE_FILTER);
  }
  switch (mode) {
    case SECCOMP_MODE_STRICT:
      return set_strict(call, SYS_prctl);
    case SECCOMP_MODE_FILTER:
      return set_filter(call, 2, arguments, 0);
    default:
      return Rewrite::pass();
  }
}

}  // namespace
}  // namespace beam::interpose
