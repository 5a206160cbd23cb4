// Measures what the two ways to interpose a call cost on this machine.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>

#include "base/unique_fd.h"
#include "runtime/features.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace beam::runtime {
namespace {

constexpr int kRounds = 7;
constexpr int kCalls = 1000;

std::uint64_t now_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t least_of_rounds() {
  std::uint64_t least = UINT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t began = now_ns();
    for (int i = 0; i < kCalls; ++i) {
      ::syscall(SYS_getppid);
    }
    least = std::min(least, (now_ns() - began) / kCalls);
  }
  return least;
}

// A filter of the calling thread that does `action` with getppid.
int filter_getppid(std::uint32_t action, unsigned long flags) {
  std::array<sock_filter, 4> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return -1;
  }
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

// `measure` runs in a child that ends with it; what it returns comes back. `parent` runs here meanwhile.
std::uint64_t measure_in_child(const std::function<std::uint64_t()>& measure,
                               const std::function<void(pid_t)>& parent) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return 0;
  }
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const std::uint64_t result = measure();
    (void)!::write(writing.get(), &result, sizeof result);
    ::_exit(0);
  }
  writing.reset();
  if (pid < 0) {
    return 0;
  }
  parent(pid);
  std::uint64_t result = 0;
  if (::read(reading.get(), &result, sizeof result) != static_cast<ssize_t>(sizeof result)) {
    result = 0;
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return result;
}

std::uint64_t measure_notification() {
  std::atomic<int> listener{-1};
  // Started before the filter, which is only the other thread's.
  std::thread answering([&listener] {
    while (listener.load() == -1) {
      std::this_thread::yield();
    }
    struct seccomp_notif request {};
    struct seccomp_notif_resp response {};
    while (::ioctl(listener.load(), SECCOMP_IOCTL_NOTIF_RECV, &request) == 0) {
      response.id = request.id;
      ::ioctl(listener.load(), SECCOMP_IOCTL_NOTIF_SEND, &response);
      request = {};
    }
  });
  answering.detach();
  const int fd = filter_getppid(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (fd < 0) {
    return 0;
  }
  ::ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  listener.store(fd);
  return least_of_rounds();
}

void trace_to_the_end(pid_t pid) {
  if (::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP) != 0) {
    ::kill(pid, SIGKILL);
    return;
  }
  ::kill(pid, SIGCONT);
  int status = 0;
  while (::waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    const bool signal = (status >> 16) == 0;
    ::ptrace(PTRACE_CONT, pid, nullptr, signal ? WSTOPSIG(status) : 0);
  }
}

sigset_t only_continue() {
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, SIGCONT);
  return only;
}

std::uint64_t measure_trace_stop() {
  // Until the tracer is there: its SIGCONT ends the wait, whether it comes before or after that begins.
  int received = 0;
  const sigset_t go = only_continue();
  ::sigwait(&go, &received);
  return filter_getppid(SECCOMP_RET_TRACE, 0) == 0 ? least_of_rounds() : 0;
}

}  // namespace

CallCosts measure_calls() {
  CallCosts costs;
  costs.native = least_of_rounds();
  costs.notification = measure_in_child(measure_notification, [](pid_t) {});
  const sigset_t held_back = only_continue();
  sigset_t inherited;
  ::sigprocmask(SIG_BLOCK, &held_back, &inherited);
  costs.trace_stop = measure_in_child(measure_trace_stop, trace_to_the_end);
  ::sigprocmask(SIG_SETMASK, &inherited, nullptr);
  return costs;
}

}  // namespace beam::runtime
