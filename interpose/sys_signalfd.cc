// signalfd(2): signals are read from a descriptor, with the pids of their senders in the records (sys_reads.cc).
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "interpose/read_traps.h"
#include "interpose/shared.h"
#include "interpose/signal_info.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

// At the exit stop of the call that made `fd` a signalfd, before the program can read from it.
struct MadeSignalfd : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() >= 0) {
      trap_reads(call.task(), call.tracee(), static_cast<int>(call.result()));
    }
  }
};

BEAM_SYSCALL(signalfd, Strategy::kRewrite, GuestFd, RemotePtr<void>, std::uint64_t) {
  return Rewrite::until_exit(std::make_unique<MadeSignalfd>());
}
BEAM_SYSCALL(signalfd4, Strategy::kRewrite, GuestFd, RemotePtr<void>, std::uint64_t, int) {
  return Rewrite::until_exit(std::make_unique<MadeSignalfd>());
}

}  // namespace

void translate_signal_records(const ExitCall& call, std::uint64_t at, std::uint64_t size) {
  for (; size >= sizeof(signalfd_siginfo); at += sizeof(signalfd_siginfo), size -= sizeof(signalfd_siginfo)) {
    signalfd_siginfo record{};
    if (call.memory().read(at, &record, sizeof record) != 0) {
      return;
    }
    siginfo_t info{};
    info.si_signo = static_cast<int>(record.ssi_signo);
    info.si_code = record.ssi_code;
    info.si_pid = static_cast<pid_t>(record.ssi_pid);
    if (!translate_siginfo(call.shared(), info)) {
      continue;
    }
    record.ssi_code = info.si_code;
    record.ssi_pid = static_cast<std::uint32_t>(info.si_pid);
    (void)call.memory().write(at, &record, sizeof record);
  }
}

}  // namespace beam::interpose
