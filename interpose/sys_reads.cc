// read(2) and its like, where what is read has to be translated (read_traps.h).
//
// They are never trapped otherwise, so the first such descriptor under a number stacks a small filter on the process,
// which traps just the reads, and the copies, of that number. Filters cannot be taken off again: a number that has
// become another file's is looked at, and passes.
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "interpose/inotify_queues.h"
#include "interpose/read_traps.h"
#include "interpose/shared.h"
#include "interpose/stacked_filter.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

enum class Records { kNone, kSignals, kFileEvents };

Records records_of(HostPid tid, int fd) {
  char target[64];
  const std::string link = "/proc/" + std::to_string(tid.value()) + "/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), target, sizeof target);
  const std::string_view name(target, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return name == "anon_inode:[signalfd]"                                  ? Records::kSignals
         : name == "anon_inode:inotify" || name == "anon_inode:[inotify]" ? Records::kFileEvents
                                                                          : Records::kNone;
}

std::vector<sock_filter> trap_descriptor(int fd) {
  constexpr std::uint32_t kCalls[] = {SYS_read, SYS_readv, SYS_dup, SYS_dup2, SYS_dup3};
  constexpr auto kCount = static_cast<std::uint8_t>(std::size(kCalls));
  const auto load = [](std::size_t from) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(from));
  };
  std::vector<sock_filter> code;
  code.push_back(load(offsetof(seccomp_data, nr)));
  for (std::uint8_t i = 0; i < kCount; ++i) {
    // To the test of the descriptor, over the remaining numbers and the test of fcntl.
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCalls[i], static_cast<std::uint8_t>(kCount - i + 4), 0));
  }
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3));
  code.push_back(load(offsetof(seccomp_data, args) + sizeof(std::uint64_t)));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_DUPFD, 2, 0));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_DUPFD_CLOEXEC, 1, 0));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(load(offsetof(seccomp_data, args)));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(fd), 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return code;
}

struct ReadRecords : CallInProgress {
  Records records = Records::kNone;
  std::vector<iovec> parts;
  void at_exit(ExitCall& call) override {
    std::uint64_t left = call.result() > 0 ? static_cast<std::uint64_t>(call.result()) : 0;
    if (records == Records::kFileEvents) {
      translate_file_events(call, left);
      return;
    }
    for (const iovec& part : parts) {
      const std::uint64_t here = std::min<std::uint64_t>(left, part.iov_len);
      translate_signal_records(call, reinterpret_cast<std::uint64_t>(part.iov_base), here);
      left -= here;
    }
  }

 private:
  // Each read goes to one part (fs/read_write.c has no other way for a file that only knows read), whole events to
  // each.
  void translate_file_events(const ExitCall& call, std::uint64_t left) const {
    for (const iovec& part : parts) {
      const std::uint64_t here = std::min<std::uint64_t>(left, part.iov_len);
      const auto at = reinterpret_cast<std::uint64_t>(part.iov_base);
      std::vector<char> bytes(here);
      if (here == 0 || call.memory().read(at, bytes.data(), here) != 0) {
        return;
      }
      if (call.shared().inotify_queues.translate(bytes)) {
        (void)call.memory().write(at, bytes.data(), here);
      }
      left -= here;
    }
  }
};

BEAM_ESCALATED(read, GuestFd fd, RemotePtr<void> to, std::uint64_t size) {
  const Records records = records_of(call.task().tid, fd.value());
  if (records == Records::kNone) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<ReadRecords>();
  progress->records = records;
  progress->parts.push_back({reinterpret_cast<void*>(to.address()), size});
  return Rewrite::until_exit(std::move(progress));
}

BEAM_ESCALATED(readv, GuestFd fd, RemotePtr<iovec> parts, std::uint64_t count) {
  const Records records = records_of(call.task().tid, fd.value());
  if (count > IOV_MAX || records == Records::kNone) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<ReadRecords>();
  progress->records = records;
  progress->parts.resize(count);
  if (call.memory().read(parts.address(), progress->parts.data(), count * sizeof(iovec)) != 0) {
    return Rewrite::pass();
  }
  return Rewrite::until_exit(std::move(progress));
}

BEAM_ESCALATED(dup, GuestFd from) {
  return copy_of_trapped(call, from);
}
BEAM_ESCALATED(dup2, GuestFd from, GuestFd) {
  return copy_of_trapped(call, from);
}
BEAM_ESCALATED(dup3, GuestFd from, GuestFd, int) {
  return copy_of_trapped(call, from);
}

// At the exit stop of the call that made the descriptor, before the program can read from it.
struct CopiedDescriptor : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() >= 0) {
      trap_reads(call.task(), call.tracee(), static_cast<int>(call.result()));
    }
  }
};

}  // namespace

Rewrite copy_of_trapped(const RewriteCall& call, GuestFd from) {
  return records_of(call.task().tid, from.value()) != Records::kNone
             ? Rewrite::until_exit(std::make_unique<CopiedDescriptor>())
             : Rewrite::pass();
}

void trap_reads(Task& task, StoppedTracee& tracee, int fd) {
  Process& process = *task.process;
  if (std::find(process.trapped_reads.begin(), process.trapped_reads.end(), fd) != process.trapped_reads.end()) {
    return;
  }
  if (stack_filter_somehow(task, tracee, trap_descriptor(fd),
                           "records of signals and file events are not translated")) {
    process.trapped_reads.push_back(fd);
  }
}

}  // namespace beam::interpose
