// signalfd(2): signals are read from a descriptor, with the pids of their senders in the records.
//
// read(2) is never trapped otherwise, so the first signalfd under a descriptor number stacks a small filter on the
// process, which traps just the reads, and the copies, of that number. Filters cannot be taken off again: a number that
// has become another file's is looked at, and passes.
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "interpose/shared.h"
#include "interpose/signal_info.h"
#include "interpose/signalfd_traps.h"
#include "interpose/stacked_filter.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

bool is_signalfd(HostPid tid, int fd) {
  char target[64];
  const std::string link = "/proc/" + std::to_string(tid.value()) + "/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), target, sizeof target);
  return size > 0 && std::string_view(target, static_cast<std::size_t>(size)) == "anon_inode:[signalfd]";
}

std::vector<sock_filter> trap_descriptor(int fd) {
  constexpr std::uint32_t kCalls[] = {SYS_read, SYS_readv, SYS_dup, SYS_dup2, SYS_dup3};
  constexpr auto kCount = static_cast<std::uint8_t>(std::size(kCalls));
  std::vector<sock_filter> code;
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (std::uint8_t i = 0; i < kCount; ++i) {
    // To the test of the descriptor, over the remaining numbers and the verdict that none matched.
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCalls[i], static_cast<std::uint8_t>(kCount - i), 0));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(fd), 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return code;
}

// At the exit stop of the call that made `fd` a signalfd, before the program can read from it.
void trap_reads(ExitCall& call, int fd) {
  trap_signalfd_reads(call.task(), call.tracee(), fd);
}

struct MadeSignalfd : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() >= 0) {
      trap_reads(call, static_cast<int>(call.result()));
    }
  }
};

BEAM_SYSCALL(signalfd, Strategy::kRewrite, GuestFd, RemotePtr<void>, std::uint64_t) {
  return Rewrite::until_exit(std::make_unique<MadeSignalfd>());
}
BEAM_SYSCALL(signalfd4, Strategy::kRewrite, GuestFd, RemotePtr<void>, std::uint64_t, int) {
  return Rewrite::until_exit(std::make_unique<MadeSignalfd>());
}

void translate_records(const ExitCall& call, std::uint64_t at, std::uint64_t size) {
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

struct ReadRecords : CallInProgress {
  std::vector<iovec> parts;
  void at_exit(ExitCall& call) override {
    std::uint64_t left = call.result() > 0 ? static_cast<std::uint64_t>(call.result()) : 0;
    for (const iovec& part : parts) {
      const std::uint64_t here = std::min<std::uint64_t>(left, part.iov_len);
      translate_records(call, reinterpret_cast<std::uint64_t>(part.iov_base), here);
      left -= here;
    }
  }
};

BEAM_ESCALATED(read, GuestFd fd, RemotePtr<void> to, std::uint64_t size) {
  if (!is_signalfd(call.task().tid, fd.value())) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<ReadRecords>();
  progress->parts.push_back({reinterpret_cast<void*>(to.address()), size});
  return Rewrite::until_exit(std::move(progress));
}

BEAM_ESCALATED(readv, GuestFd fd, RemotePtr<iovec> parts, std::uint64_t count) {
  if (count > IOV_MAX || !is_signalfd(call.task().tid, fd.value())) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<ReadRecords>();
  progress->parts.resize(count);
  if (call.memory().read(parts.address(), progress->parts.data(), count * sizeof(iovec)) != 0) {
    return Rewrite::pass();
  }
  return Rewrite::until_exit(std::move(progress));
}

Rewrite copied(const RewriteCall& call, GuestFd from) {
  return is_signalfd(call.task().tid, from.value()) ? Rewrite::until_exit(std::make_unique<MadeSignalfd>())
                                                    : Rewrite::pass();
}

BEAM_ESCALATED(dup, GuestFd from) {
  return copied(call, from);
}
BEAM_ESCALATED(dup2, GuestFd from, GuestFd) {
  return copied(call, from);
}
BEAM_ESCALATED(dup3, GuestFd from, GuestFd, int) {
  return copied(call, from);
}

}  // namespace

void trap_signalfd_reads(Task& task, StoppedTracee& tracee, int fd) {
  Process& process = *task.process;
  if (std::find(process.trapped_reads.begin(), process.trapped_reads.end(), fd) != process.trapped_reads.end()) {
    return;
  }
  if (stack_filter_somehow(task, tracee, trap_descriptor(fd), "signal records show host ids")) {
    process.trapped_reads.push_back(fd);
  }
}

}  // namespace beam::interpose
