// Making processes, waiting for them, and descriptors of them.
#include <linux/sched.h>
#include <sys/resource.h>

#include "calls.h"

static pid_t self, child, dead, zombie, stopped;

static void waiting(void) {
  int status;
  struct rusage usage;
  siginfo_t info;
  T(wait4(kNobody, &status, WNOHANG, NULL));
  T(wait4(-kNobody, &status, WNOHANG, NULL));
  T(wait4(INT_MIN, &status, WNOHANG, NULL));
  T(wait4(INT_MAX, &status, WNOHANG, NULL));
  T(wait4(-INT_MAX, &status, WNOHANG, NULL));
  T(wait4(dead, &status, WNOHANG, NULL));
  T(wait4(self, &status, WNOHANG, NULL));
  T(wait4(getppid(), &status, WNOHANG, NULL));
  T(wait4(1, &status, WNOHANG, NULL));
  T(wait4(child, &status, WNOHANG, NULL));
  T(wait4(child, BAD, WNOHANG, NULL));
  T(wait4(child, &status, WNOHANG, BAD));
  T(wait4(0, &status, WNOHANG | WNOWAIT, NULL));
  T(wait4(-1, &status, WEXITED, NULL));
  T(wait4(-1, &status, 0x100, NULL));
  T(wait4(kNobody, &status, 0x100, NULL));
  T(wait4(kNobody, &status, -1, NULL));
  T(wait4(child, &status, WNOHANG | __WCLONE, NULL));
  T(wait4(child, &status, WNOHANG | __WALL, NULL));
  T(wait4(child, &status, WNOHANG | __WNOTHREAD, NULL));
  T(wait4(child, &status, WNOHANG | WCONTINUED | WUNTRACED, NULL));
  IS(wait4(stopped, &status, WUNTRACED, &usage), stopped);
  V(WIFSTOPPED(status));
  V(WSTOPSIG(status));
  T(wait4(stopped, &status, WNOHANG | WUNTRACED, NULL));
  kill(stopped, SIGCONT);
  IS(wait4(stopped, &status, WCONTINUED, NULL), stopped);
  V(WIFCONTINUED(status));
  static const int kinds[] = {P_ALL, P_PID, P_PGID, P_PIDFD, 4, -1, INT_MAX};
  pid_t ids[] = {0, -1, kNobody, child, dead, self, INT_MIN, -kNobody};
  static const char* names[] = {"0", "-1", "nobody", "child", "dead", "self", "INT_MIN", "-nobody"};
  static const int options[] = {0,
                                WNOHANG,
                                WEXITED | WNOHANG,
                                WEXITED | WNOHANG | WNOWAIT,
                                WSTOPPED | WNOHANG,
                                WCONTINUED | WNOHANG,
                                WEXITED | WNOHANG | __WALL,
                                WEXITED | WNOHANG | __WCLONE,
                                WEXITED | WNOHANG | 0x100,
                                0x100,
                                -1,
                                WNOHANG | WNOWAIT,
                                WEXITED | WNOHANG | __WNOTHREAD};
  for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; ++i) {
      for (unsigned o = 0; o < sizeof options / sizeof *options; ++o) {
        if ((options[o] & WEXITED) != 0 && (options[o] & WNOWAIT) == 0 && (kinds[k] == P_ALL || kinds[k] == P_PGID)) {
          continue;  // would take the zombie
        }
        memset(&info, 0x55, sizeof info);
        errno = 0;
        long result = syscall(SYS_waitid, kinds[k], ids[i], &info, options[o], NULL);
        printf("waitid(%d, %s, %#x) = %ld %d, signo %d code %d status %d pid %s\n", kinds[k], names[i], options[o],
               result, errno, info.si_signo, info.si_code, info.si_status,
               info.si_pid == zombie       ? "zombie"
               : info.si_pid == 0          ? "0"
               : info.si_pid == 0x55555555 ? "kept"
                                           : "other");
      }
    }
  }
  T(syscall(SYS_waitid, P_PID, child, BAD, WEXITED | WNOHANG, NULL));
  T(syscall(SYS_waitid, P_PID, child, NULL, WEXITED | WNOHANG, NULL));
  T(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG, BAD));
  T(syscall(SYS_waitid, P_PID, zombie, BAD, WEXITED | WNOWAIT, NULL));
  T(syscall(SYS_waitid, P_PID, zombie, NULL, WEXITED | WNOWAIT, NULL));
  T(syscall(SYS_waitid, P_PID, zombie, readable, WEXITED | WNOWAIT, NULL));
  T(syscall(SYS_waitid, P_PID, zombie, &info, WEXITED | WNOWAIT, &usage));
  IS(info.si_pid, zombie);
  IS(info.si_uid, getuid());
  V(info.si_status);
  int fd = (int)syscall(SYS_pidfd_open, child, 0);
  int of_zombie = (int)syscall(SYS_pidfd_open, zombie, 0);
  int own = (int)syscall(SYS_pidfd_open, self, 0);
  int quick = (int)syscall(SYS_pidfd_open, child, O_NONBLOCK);
  int file = open("/dev/null", O_RDONLY);
  T(syscall(SYS_waitid, P_PIDFD, fd, &info, WEXITED | WNOHANG, NULL));
  V(info.si_pid);
  T(syscall(SYS_waitid, P_PIDFD, quick, &info, WEXITED, NULL));
  T(syscall(SYS_waitid, P_PIDFD, own, &info, WEXITED | WNOHANG, NULL));
  T(syscall(SYS_waitid, P_PIDFD, file, &info, WEXITED | WNOHANG, NULL));
  T(syscall(SYS_waitid, P_PIDFD, 9999, &info, WEXITED | WNOHANG, NULL));
  T(syscall(SYS_waitid, P_PIDFD, -1, &info, WEXITED | WNOHANG, NULL));
  T(syscall(SYS_waitid, P_PIDFD, of_zombie, &info, WEXITED | WNOWAIT, NULL));
  IS(info.si_pid, zombie);
  close(fd), close(own), close(quick), close(file), close(of_zombie);
  pid_t one = fork();
  if (one == 0) {
    _exit(3);
  }
  T(wait4(one, BAD, 0, NULL));
  T(wait4(one, &status, 0, NULL));
  one = fork();
  if (one == 0) {
    _exit(3);
  }
  T(wait4(one, &status, 0, BAD));
  T(wait4(one, &status, 0, NULL));
  one = fork();
  if (one == 0) {
    _exit(3);
  }
  T(syscall(SYS_waitid, P_PID, one, BAD, WEXITED, NULL));
  T(wait4(one, &status, 0, NULL));
}

// New name spaces are for root, and refused to a sandbox's.
static bool is_for_root(unsigned long flags) {
  const unsigned long spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                               CLONE_NEWNET | 0x80 /* CLONE_NEWTIME */;
  return (flags & spaces) != 0 && geteuid() == 0;
}

static void cloning(void) {
  static const unsigned long flags[] = {CLONE_SIGHAND,
                                        CLONE_THREAD,
                                        CLONE_THREAD | CLONE_SIGHAND,
                                        CLONE_NEWNS,
                                        CLONE_NEWCGROUP,
                                        CLONE_NEWUTS,
                                        CLONE_NEWIPC,
                                        CLONE_NEWPID,
                                        CLONE_NEWNET,
                                        CLONE_NEWNS | CLONE_FS,
                                        CLONE_NEWUSER | CLONE_FS,
                                        CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
                                        CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
                                        CLONE_NEWIPC | CLONE_SYSVSEM,
                                        CLONE_NEWNS | CLONE_SIGHAND,
                                        CLONE_PIDFD | CLONE_DETACHED,
                                        CLONE_NEWPID | CLONE_PARENT,
                                        CLONE_PIDFD | CLONE_PARENT_SETTID,
                                        CLONE_NEWNET | CLONE_THREAD};
  for (unsigned i = 0; i < sizeof flags / sizeof *flags; ++i) {
    if (is_for_root(flags[i])) {
      continue;
    }
    errno = 0;
    long result = syscall(SYS_clone, flags[i] | SIGCHLD, NULL, NULL, NULL, 0);
    if (result == 0) {
      _exit(0);
    }
    printf("clone(%#lx) = %ld %d\n", flags[i], result > 0 ? 1 : result, errno);
    if (result > 0) {
      waitpid((pid_t)result, NULL, 0);
    }
    struct clone_args args = {.flags = flags[i], .exit_signal = (flags[i] & CLONE_THREAD) ? 0 : SIGCHLD};
    errno = 0;
    result = syscall(SYS_clone3, &args, sizeof args);
    if (result == 0) {
      _exit(0);
    }
    printf("clone3(%#lx) = %ld %d\n", flags[i], result > 0 ? 1 : result, errno);
    if (result > 0) {
      waitpid((pid_t)result, NULL, 0);
    }
  }
  struct clone_args args = {.exit_signal = SIGCHLD};
  T(syscall(SYS_clone3, NONE, sizeof args));
  T(syscall(SYS_clone3, BAD, sizeof args));
  T(syscall(SYS_clone3, &args, 0));
  T(syscall(SYS_clone3, &args, 63));
  T(syscall(SYS_clone3, BAD, 63));
  T(syscall(SYS_clone3, BAD, 5000));
  T(syscall(SYS_clone3, &args, 4097));
  T(syscall(SYS_clone3, &args, -1L));
#define MAKE(what, ...)                                                         \
  do {                                                                          \
    struct clone_args made = {__VA_ARGS__};                                     \
    errno = 0;                                                                  \
    long result_ = syscall(SYS_clone3, &made, sizeof made);                     \
    if (result_ == 0) {                                                         \
      _exit(0);                                                                 \
    }                                                                           \
    printf("clone3(%s) = %ld %d\n", what, result_ > 0 ? 1 : result_, errno);    \
    if (result_ > 0) {                                                          \
      printf("waited: %d\n", waitpid((pid_t)result_, NULL, __WALL) == result_); \
    }                                                                           \
  } while (0)
  int place = 0;
  pid_t wanted[2] = {1, 1};
  MAKE("exit_signal 65", .exit_signal = 65);
  MAKE("exit_signal 0", .exit_signal = 0);
  MAKE("exit_signal 256", .exit_signal = 256);
  MAKE("exit_signal 0x1_0000_0011", .exit_signal = 0x100000011);
  MAKE("exit_signal of a thread", .flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD);
  MAKE("exit_signal with CLONE_PARENT", .flags = CLONE_PARENT, .exit_signal = SIGCHLD);
  MAKE("signal bits in flags", .flags = SIGCHLD);
  MAKE("CLONE_DETACHED", .flags = CLONE_DETACHED, .exit_signal = SIGCHLD);
  MAKE("unknown flag", .flags = 1UL << 40, .exit_signal = SIGCHLD);
  MAKE("unknown high flag", .flags = 1UL << 63, .exit_signal = SIGCHLD);
  MAKE("stack without size", .stack = (uint64_t)writable, .exit_signal = SIGCHLD);
  MAKE("size without stack", .stack_size = 4096, .exit_signal = SIGCHLD);
  MAKE("stack not there", .stack = 0xffff800000000000, .stack_size = 4096, .exit_signal = SIGCHLD);
  MAKE("set_tid_size without set_tid", .set_tid_size = 1, .exit_signal = SIGCHLD);
  MAKE("set_tid without size", .set_tid = (uint64_t)wanted, .exit_signal = SIGCHLD);
  MAKE("set_tid too deep", .set_tid = (uint64_t)wanted, .set_tid_size = 33, .exit_signal = SIGCHLD);
  MAKE("pidfd nowhere", .flags = CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD);
  MAKE("pidfd", .flags = CLONE_PIDFD, .pidfd = (uint64_t)&place, .exit_signal = SIGCHLD);
  close(place);
  MAKE("parent_tid nowhere", .flags = CLONE_PARENT_SETTID, .parent_tid = 8, .exit_signal = SIGCHLD);
  MAKE("child_tid nowhere", .flags = CLONE_CHILD_SETTID, .child_tid = 8, .exit_signal = SIGCHLD);
  MAKE("cgroup no descriptor", .flags = CLONE_INTO_CGROUP, .cgroup = 9999, .exit_signal = SIGCHLD);
  MAKE("cgroup other descriptor", .flags = CLONE_INTO_CGROUP, .cgroup = 0, .exit_signal = SIGCHLD);
  MAKE("cgroup too large", .flags = CLONE_INTO_CGROUP, .cgroup = 1UL << 32, .exit_signal = SIGCHLD);
  MAKE("CLONE_CLEAR_SIGHAND", .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD);
  MAKE("CLONE_CLEAR_SIGHAND and CLONE_SIGHAND", .flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM,
       .exit_signal = SIGCHLD);
  MAKE("CLONE_UNTRACED", .flags = CLONE_UNTRACED, .exit_signal = SIGCHLD);
  MAKE("CLONE_PTRACE", .flags = CLONE_PTRACE, .exit_signal = SIGCHLD);
  MAKE("CLONE_IO", .flags = CLONE_IO, .exit_signal = SIGCHLD);
  MAKE("tls", .flags = CLONE_SETTLS, .tls = 0xffff800000000000, .exit_signal = SIGCHLD);
  struct {
    struct clone_args args;
    char more[8];
  } larger;
  memset(&larger, 0, sizeof larger);
  larger.args.exit_signal = SIGCHLD;
  larger.args.flags = CLONE_CHILD_SETTID | CLONE_PARENT_SETTID;
  int tid_parent = 0;
  larger.args.child_tid = larger.args.parent_tid = (uint64_t)&tid_parent;
  long pid = syscall(SYS_clone3, &larger, sizeof larger);
  if (pid == 0) {
    _exit(tid_parent != getpid());
  }
  int status = -1;
  IS(waitpid((pid_t)pid, &status, 0), pid);
  V(status);
  IS(tid_parent, pid);
  larger.more[7] = 1;
  T(syscall(SYS_clone3, &larger, sizeof larger));
  T(syscall(SYS_clone3, tail(64), 88));
}

static void leaving(void) {
  static const unsigned long flags[] = {0,
                                        CLONE_FILES,
                                        CLONE_FS,
                                        CLONE_SYSVSEM,
                                        CLONE_VM,
                                        CLONE_SIGHAND,
                                        CLONE_THREAD,
                                        CLONE_NEWNS,
                                        CLONE_NEWUTS,
                                        CLONE_NEWIPC,
                                        CLONE_NEWPID,
                                        CLONE_NEWNET,
                                        CLONE_NEWCGROUP,
                                        CLONE_NEWTIME,
                                        CLONE_VFORK,
                                        CLONE_PARENT,
                                        CLONE_SETTLS,
                                        1,
                                        SIGCHLD,
                                        0x100000000,
                                        0xffffffff,
                                        CLONE_NEWNS | CLONE_VFORK,
                                        CLONE_IO,
                                        CLONE_PTRACE};
  for (unsigned i = 0; i < sizeof flags / sizeof *flags; ++i) {
    if (is_for_root(flags[i])) {
      continue;
    }
    errno = 0;
    long result = syscall(SYS_unshare, flags[i]);
    printf("unshare(%#lx) = %ld %d\n", flags[i], result, errno);
  }
  int file = open("/dev/null", O_RDONLY);
  int own = (int)syscall(SYS_pidfd_open, self, 0);
  int net = open("/proc/self/ns/net", O_RDONLY);
  T(syscall(SYS_setns, -1, 0));
  T(syscall(SYS_setns, 9999, 0));
  T(syscall(SYS_setns, file, 0));
  if (!is_for_root(CLONE_NEWNET)) {
    T(syscall(SYS_setns, net, 0));
    T(syscall(SYS_setns, net, CLONE_NEWNET));
    T(syscall(SYS_setns, own, CLONE_NEWNET));
  }
  T(syscall(SYS_setns, net, CLONE_NEWUTS));
  T(syscall(SYS_setns, own, 0));
  close(file), close(own), close(net);
}

static void descriptors(void) {
  T(syscall(SYS_pidfd_open, kNobody, 0));
  T(syscall(SYS_pidfd_open, 0, 0));
  T(syscall(SYS_pidfd_open, -1, 0));
  T(syscall(SYS_pidfd_open, INT_MIN, 0));
  T(syscall(SYS_pidfd_open, dead, 0));
  T(syscall(SYS_pidfd_open, self, 1));
  T(syscall(SYS_pidfd_open, self, -1));
  T(syscall(SYS_pidfd_open, kNobody, 1));
  OK(syscall(SYS_pidfd_open, zombie, 0));
  OK(syscall(SYS_pidfd_open, zombie, O_EXCL));
  int own = (int)syscall(SYS_pidfd_open, self, O_NONBLOCK);
  V(fcntl(own, F_GETFL));
  V(fcntl(own, F_GETFD));
  int of_child = (int)syscall(SYS_pidfd_open, child, 0);
  int file = open("/dev/null", O_RDONLY);
  OK(syscall(SYS_pidfd_getfd, own, file, 0));
  T(syscall(SYS_pidfd_getfd, own, 9999, 0));
  T(syscall(SYS_pidfd_getfd, own, -1, 0));
  T(syscall(SYS_pidfd_getfd, own, file, 1));
  T(syscall(SYS_pidfd_getfd, file, file, 0));
  T(syscall(SYS_pidfd_getfd, 9999, file, 0));
  OK(syscall(SYS_pidfd_getfd, of_child, 1, 0));
  char byte;
  T(read(own, &byte, 1));
  T(write(own, &byte, 1));
  T(lseek(own, 0, SEEK_SET));
  T(syscall(SYS_process_madvise, own, NONE, 0, MADV_COLD, 0));
  T(syscall(SYS_process_madvise, file, NONE, 0, MADV_COLD, 0));
  T(syscall(SYS_process_madvise, -1, NONE, 0, MADV_COLD, 0));
  T(syscall(SYS_process_madvise, of_child, NONE, 0, MADV_COLD, 0));
  T(syscall(SYS_process_madvise, of_child, BAD, 1, MADV_COLD, 0));
  T(syscall(SYS_process_madvise, of_child, NONE, 0, MADV_DONTNEED, 0));
  T(syscall(SYS_process_madvise, of_child, NONE, 0, MADV_COLD, 1));
  T(syscall(SYS_process_mrelease, own, 0));
  T(syscall(SYS_process_mrelease, own, 1));
  T(syscall(SYS_process_mrelease, file, 0));
  T(syscall(SYS_process_mrelease, of_child, 0));
}

int main(void) {
  transcript_begin();
  setpgid(0, 0);
  self = getpid();
  dead = fork();
  if (dead == 0) {
    _exit(0);
  }
  waitpid(dead, NULL, 0);
  child = fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  stopped = fork();
  if (stopped == 0) {
    raise(SIGSTOP);
    for (;;) {
      pause();
    }
  }
  zombie = fork();
  if (zombie == 0) {
    _exit(7);
  }
  siginfo_t info;
  waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
  waiting();
  cloning();
  leaving();
  descriptors();
  kill(child, SIGKILL);
  kill(stopped, SIGKILL);
  int status;
  IS(waitpid(child, &status, 0), child);
  V(status);
  IS(waitpid(stopped, &status, 0), stopped);
  IS(waitpid(zombie, &status, 0), zombie);
  V(status);
  T(wait4(-1, &status, 0, NULL));
  return 0;
}
