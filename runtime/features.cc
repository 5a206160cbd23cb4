#include "runtime/features.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>

#include "base/unique_fd.h"
#include "runtime/file_io.h"

// Newer than Debian 12's kernel headers.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif
#ifndef ARCH_GET_CPUID
#define ARCH_GET_CPUID 0x1011
#endif
#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif
#ifndef PAGEMAP_SCAN
// _IOWR('f', 16, struct pm_scan_arg), include/uapi/linux/fs.h
#define PAGEMAP_SCAN 0xc0606610UL
#endif

namespace beam::runtime {
namespace {

// Runs `probe` in a child of its own, for what can't be undone; its result is the child's exit status, -1 when it was
// killed.
int in_child(const std::function<int()>& probe) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::_exit(probe());
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
    return -1;
  }
  return WEXITSTATUS(status);
}

int install_allowing_filter(unsigned long flags) {
  std::array<sock_filter, 1> code = {{BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return -1;
  }
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

bool can_trace() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  const bool traced = pid > 0 && ::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP) == 0;
  if (pid > 0) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  return traced;
}

bool can_seal() {
  void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page != MAP_FAILED && ::syscall(SYS_mseal, page, 4096UL, 0UL) == 0;
}

bool can_watch_writes() {
  // userfaultfd(2): USER_MODE_ONLY needs no privilege.
  constexpr int kUserModeOnly = 1;
  const UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | kUserModeOnly)));
  return static_cast<bool>(fd);
}

bool can_scan_pages() {
  const UniqueFd fd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  // A bad argument is EFAULT or EINVAL; an unknown request is ENOTTY.
  return fd && ::ioctl(fd.get(), PAGEMAP_SCAN, nullptr) != 0 && errno != ENOTTY;
}

std::string first_line(const char* path) {
  auto text = read_file(path, 4096);
  return text.ok() ? text->substr(0, text->find('\n')) : std::string();
}

}  // namespace

std::vector<Feature> probe_features() {
  std::vector<Feature> list;
  struct utsname system {};
  ::uname(&system);
  const bool x86 = std::string(system.machine) == "x86_64";
  list.push_back({"kernel", x86, true, std::string(system.release) + " " + system.machine, "Beam runs on x86-64 only"});

  const std::string scope = first_line("/proc/sys/kernel/yama/ptrace_scope");
  list.push_back({"ptrace", can_trace(), true, scope.empty() ? "" : "yama.ptrace_scope " + scope,
                  "a supervisor can't trace its sandbox; set kernel.yama.ptrace_scope below 3"});
  list.push_back({"seccomp user notification",
                  in_child([] { return install_allowing_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER) >= 0 ? 1 : 0; }) == 1,
                  true, "",
                  "calls can't be answered by a supervisor; a container's own seccomp profile may be in the way"});
  list.push_back({"seccomp killable wait", in_child([] {
                                             return install_allowing_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                                                            SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) >= 0
                                                        ? 1
                                                        : 0;
                                           }) == 1,
                  false, "", "a signal during an interposed call may make the kernel repeat it (Linux 5.19)"});
  list.push_back(
      {"seccomp synchronous wake-up",
       in_child([] {
         const int fd = install_allowing_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER);
         return fd >= 0 && ::ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0 ? 1 : 0;
       }) == 1,
       false, "", "an answered call costs about 10 us rather than 2 (Linux 6.6)"});
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  const UniqueFd copied(pidfd ? static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), 0, 0)) : -1);
  list.push_back({"pidfd_getfd", static_cast<bool>(copied), true, "",
                  "a supervisor can't reach descriptors of its sandbox (Linux 5.6)"});
  list.push_back({"kcmp", ::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_FILES, 0, 0) == 0, false, "",
                  "what shares a descriptor can't be told apart: no freeze (CONFIG_KCMP)"});
  const long landlock = ::syscall(SYS_landlock_create_ruleset, nullptr, 0UL, LANDLOCK_CREATE_RULESET_VERSION);
  list.push_back({"landlock", landlock > 0, false, landlock > 0 ? "ABI " + std::to_string(landlock) : "",
                  "what the views hide isn't denied by the kernel as well"});
  list.push_back({"mseal", in_child([] { return can_seal() ? 1 : 0; }) == 1, false, "",
                  "a program could unmap the agent page under itself (Linux 6.10)"});
  const int mm_map = in_child([] {
    unsigned int size = 0;
    return ::prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0 ? 1 : 0;
  });
  list.push_back({"checkpoint and restore", mm_map == 1, false, "",
                  "a thaw can't put the heap's and the stack's bounds back (CONFIG_CHECKPOINT_RESTORE)"});
  list.push_back({"posix timer ids",
                  in_child([] { return ::prctl(PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0) == 0 ? 1 : 0; }) == 1, false,
                  "", "POSIX timers with gaps in their ids need more calls to thaw (Linux 6.15)"});
  list.push_back(
      {"userfaultfd", can_watch_writes(), false, "", "a live migration copies all memory while it holds the sandbox"});
  list.push_back(
      {"pagemap scan", can_scan_pages(), false, "", "a freeze reads page tables entry by entry (Linux 6.7)"});
  list.push_back({"cpuid faulting",
                  in_child([] { return ::syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0UL) == 0 ? 1 : 0; }) == 1, false, "",
                  "programs see this processor's features; move them between like processors only"});
  return list;
}

std::vector<Limit> probe_limits() {
  std::vector<Limit> list;
  const auto resource = [&list](const char* name, __rlimit_resource kind, const char* meaning) {
    struct rlimit limit {};
    if (::getrlimit(kind, &limit) == 0) {
      list.push_back({name, limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur, meaning});
    }
  };
  const auto sysctl = [&list](const char* name, const char* path, const char* meaning) {
    const std::string text = first_line(path);
    if (!text.empty()) {
      list.push_back({name, std::strtoull(text.c_str(), nullptr, 10), meaning});
    }
  };
  resource("open files", RLIMIT_NOFILE, "of each process and of its supervisor (ulimit -n)");
  resource("processes", RLIMIT_NPROC, "of this user, sandboxes and their supervisors included (ulimit -u)");
  resource("locked memory", RLIMIT_MEMLOCK, "bytes that a program may lock, also after a thaw (ulimit -l)");
  resource("core file", RLIMIT_CORE, "bytes of a core dump (ulimit -c)");
  sysctl("pid_max", "/proc/sys/kernel/pid_max", "process ids on this workstation (kernel.pid_max)");
  sysctl("threads-max", "/proc/sys/kernel/threads-max", "threads on this workstation (kernel.threads-max)");
  sysctl("max_map_count", "/proc/sys/vm/max_map_count",
         "mappings of a process; the agent takes two (vm.max_map_count)");
  sysctl("pty.max", "/proc/sys/kernel/pty/max", "pseudo-terminals on this workstation (kernel.pty.max)");
  sysctl("inotify watches", "/proc/sys/fs/inotify/max_user_watches", "of this user (fs.inotify.max_user_watches)");
  return list;
}

}  // namespace beam::runtime
