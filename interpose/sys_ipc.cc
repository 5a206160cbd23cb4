// System V IPC (sysvipc(7)): who made, attached, sent or received last; and timers that signal a thread
// (timer_create(2)).
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "interpose/cpu_clock.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

// Pids at fixed places of a structure that the call has filled.
struct PidsInStructure : CallInProgress {
  std::uint64_t structure = 0;
  std::vector<std::size_t> offsets;
  void at_exit(ExitCall& call) override {
    if (call.result() < 0) {
      return;
    }
    for (const std::size_t offset : offsets) {
      pid_t host = 0;
      if (call.memory().read(structure + offset, &host, sizeof host) != 0 || host <= 0) {
        continue;
      }
      const pid_t shown = call.shared().pids.to_virtual(HostPid(host)).value();
      (void)call.memory().write(structure + offset, &shown, sizeof shown);
    }
  }
};

Rewrite translate_structure(std::uint64_t structure, std::vector<std::size_t> offsets) {
  auto progress = std::make_unique<PidsInStructure>();
  progress->structure = structure;
  progress->offsets = std::move(offsets);
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL_WHEN(shmctl, Strategy::kRewrite, (one_of(1, {IPC_STAT, SHM_STAT, SHM_STAT_ANY})), int id, int command,
                  RemotePtr<shmid_ds> buffer) {
  (void)id, (void)command;
  return translate_structure(buffer.address(), {offsetof(shmid_ds, shm_cpid), offsetof(shmid_ds, shm_lpid)});
}

BEAM_SYSCALL_WHEN(msgctl, Strategy::kRewrite, (one_of(1, {IPC_STAT, MSG_STAT, MSG_STAT_ANY})), int id, int command,
                  RemotePtr<msqid_ds> buffer) {
  (void)id, (void)command;
  return translate_structure(buffer.address(), {offsetof(msqid_ds, msg_lspid), offsetof(msqid_ds, msg_lrpid)});
}

struct SemaphorePid : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() > 0) {
      call.set_result(call.shared().pids.to_virtual(HostPid(static_cast<pid_t>(call.result()))).value());
    }
  }
};

BEAM_SYSCALL_WHEN(semctl, Strategy::kRewrite, (one_of(2, {GETPID})), int id, int number, int command,
                  std::uint64_t argument) {
  (void)id, (void)number, (void)command, (void)argument;
  return Rewrite::until_exit(std::make_unique<SemaphorePid>());
}

struct TimerCreate : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

BEAM_SYSCALL(timer_create, Strategy::kRewrite, int clock, RemotePtr<sigevent> event, RemotePtr<void> id) {
  (void)id;
  auto progress = std::make_unique<TimerCreate>();
  const auto host_of_clock = host_clock(call.shared(), clock);
  if (!host_of_clock) {
    return Rewrite::error(EINVAL);
  }
  if (*host_of_clock != clock) {
    call.set_arg(*progress, 0, static_cast<std::uint64_t>(static_cast<std::int64_t>(*host_of_clock)));
  }
  sigevent copy{};
  if (event && call.memory().read(event, copy) == 0 && (copy.sigev_notify & SIGEV_THREAD_ID) != 0) {
    // The kernel's field stands where glibc has _sigev_un._tid.
    const HostPid thread = call.shared().pids.to_host(VirtualPid(copy._sigev_un._tid));
    if (thread == HostPid()) {
      return Rewrite::error(EINVAL);
    }
    copy._sigev_un._tid = thread.value();
    const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
    if (place == 0) {
      return Rewrite::error(EAGAIN);
    }
    call.set_arg(*progress, 1, place);
  } else if (*host_of_clock == clock) {
    return Rewrite::pass();
  }
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
