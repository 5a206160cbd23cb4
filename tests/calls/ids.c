// Groups, sessions, scheduling, limits, memory of others: everything that takes a pid.
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "calls.h"

static pid_t self, child, dead, zombie, thread_id, execed;
static int go[2], up[2];

static void* run(void* unused) {
  thread_id = (pid_t)syscall(SYS_gettid);
  (void)!write(up[1], "x", 1);
  char byte;
  (void)!read(go[0], &byte, 1);
  return unused;
}

// Every call below with each of these.
static pid_t who[16];
static const char* const kWho[] = {"0",      "self", "child",   "dead",    "zombie", "thread",
                                   "nobody", "-1",   "INT_MIN", "INT_MAX", "-child"};
enum { kCount = sizeof kWho / sizeof *kWho };

#define EACH(format, call)                                                                       \
  for (int i = 0; i < kCount; ++i) {                                                             \
    pid_t pid = who[i];                                                                          \
    errno = 0;                                                                                   \
    long result_ = (long)(call);                                                                 \
    printf(format " = %ld %s\n", kWho[i], result_, result_ == -1 ? strerrorname_np(errno) : ""); \
  }

static void groups(void) {
  for (int i = 0; i < kCount; ++i) {
    for (int g = 0; g < kCount; ++g) {
      if ((who[i] == 0 || who[i] == self) && (who[g] == 0 || who[g] == self)) {
        continue;
      }
      if (who[i] == child && (who[g] == 0 || who[g] == child)) {
        continue;
      }
      errno = 0;
      long result = setpgid(who[i], who[g]);
      printf("setpgid(%s, %s) = %ld %s\n", kWho[i], kWho[g], result, result == -1 ? strerrorname_np(errno) : "");
    }
  }
  T(setpgid(execed, execed));
  T(setpgid(execed, kNobody));
  T(setpgid(execed, -1));
  for (int i = 0; i < kCount; ++i) {
    errno = 0;
    long result = getpgid(who[i]);
    printf("getpgid(%s) = %s %s\n", kWho[i],
           result == -1          ? "-1"
           : result == getpgrp() ? "own"
                                 : "another",
           result == -1 ? strerrorname_np(errno) : "");
    errno = 0;
    result = getsid(who[i]);
    printf("getsid(%s) = %s %s\n", kWho[i],
           result == -1          ? "-1"
           : result == getsid(0) ? "own"
                                 : "another",
           result == -1 ? strerrorname_np(errno) : "");
  }
  pid_t one = fork();
  if (one == 0) {
    T(setpgid(0, 0));
    T(setsid());
    T(setpgid(0, 0));
    IS(getpgrp(), getpid());
    pid_t two = fork();
    if (two == 0) {
      pid_t session = setsid();
      IS(session, getpid());
      IS(getsid(0), getpid());
      T(setpgid(0, 0));
      T(setpgid(getppid(), 0));
      T(setsid());
      _exit(0);
    }
    waitpid(two, NULL, 0);
    T(setpgid(two, two));
    _exit(0);
  }
  waitpid(one, NULL, 0);
}

struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};

static void scheduling(void) {
  struct sched_param param = {0}, high = {1}, negative = {-1};
  struct timespec interval;
  unsigned long mask[128];
  struct attributes attributes = {.size = sizeof attributes};
  EACH("sched_getscheduler(%s)", syscall(SYS_sched_getscheduler, pid));
  EACH("sched_getparam(%s)", syscall(SYS_sched_getparam, pid, &param));
  EACH("sched_getparam(%s, NONE)", syscall(SYS_sched_getparam, pid, NONE));
  EACH("sched_getparam(%s, BAD)", syscall(SYS_sched_getparam, pid, BAD));
  EACH("sched_getparam(%s, readable)", syscall(SYS_sched_getparam, pid, readable));
  EACH("sched_setparam(%s)", syscall(SYS_sched_setparam, pid, &param));
  EACH("sched_setparam(%s, 1)", syscall(SYS_sched_setparam, pid, &high));
  EACH("sched_setparam(%s, NONE)", syscall(SYS_sched_setparam, pid, NONE));
  EACH("sched_setparam(%s, BAD)", syscall(SYS_sched_setparam, pid, BAD));
  EACH("sched_setscheduler(%s, OTHER)", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &param));
  EACH("sched_setscheduler(%s, BATCH)", syscall(SYS_sched_setscheduler, pid, SCHED_BATCH, &param));
  EACH("sched_setscheduler(%s, OTHER, 1)", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &high));
  EACH("sched_setscheduler(%s, FIFO, -1)", syscall(SYS_sched_setscheduler, pid, SCHED_FIFO, &negative));
  EACH("sched_setscheduler(%s, -1)", syscall(SYS_sched_setscheduler, pid, -1, &param));
  EACH("sched_setscheduler(%s, 99)", syscall(SYS_sched_setscheduler, pid, 99, &param));
  EACH("sched_setscheduler(%s, NONE)", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, NONE));
  EACH("sched_setscheduler(%s, BAD)", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, BAD));
  EACH("sched_setscheduler(%s, OTHER again)", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &param));
  EACH("sched_rr_get_interval(%s)", syscall(SYS_sched_rr_get_interval, pid, &interval));
  EACH("sched_rr_get_interval(%s, BAD)", syscall(SYS_sched_rr_get_interval, pid, BAD));
  EACH("sched_getaffinity(%s)", syscall(SYS_sched_getaffinity, pid, sizeof mask, mask) > 0);
  EACH("sched_getaffinity(%s, 0)", syscall(SYS_sched_getaffinity, pid, 0, mask));
  EACH("sched_getaffinity(%s, 7)", syscall(SYS_sched_getaffinity, pid, 7, mask));
  EACH("sched_getaffinity(%s, BAD)", syscall(SYS_sched_getaffinity, pid, sizeof mask, BAD));
  syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  EACH("sched_setaffinity(%s)", syscall(SYS_sched_setaffinity, pid, sizeof mask, mask));
  EACH("sched_setaffinity(%s, 0)", syscall(SYS_sched_setaffinity, pid, 0, mask));
  EACH("sched_setaffinity(%s, BAD)", syscall(SYS_sched_setaffinity, pid, sizeof mask, BAD));
  memset(mask, 0, sizeof mask);
  EACH("sched_setaffinity(%s, none)", syscall(SYS_sched_setaffinity, pid, sizeof mask, mask));
  EACH("sched_getattr(%s)", syscall(SYS_sched_getattr, pid, &attributes, sizeof attributes, 0));
  EACH("sched_getattr(%s, NONE)", syscall(SYS_sched_getattr, pid, NONE, sizeof attributes, 0));
  EACH("sched_getattr(%s, BAD)", syscall(SYS_sched_getattr, pid, BAD, sizeof attributes, 0));
  EACH("sched_getattr(%s, 47)", syscall(SYS_sched_getattr, pid, &attributes, 47, 0));
  EACH("sched_getattr(%s, 4097)", syscall(SYS_sched_getattr, pid, &attributes, 4097, 0));
  EACH("sched_getattr(%s, flags)", syscall(SYS_sched_getattr, pid, &attributes, sizeof attributes, 1));
  EACH("sched_setattr(%s, NONE)", syscall(SYS_sched_setattr, pid, NONE, 0));
  EACH("sched_setattr(%s, BAD)", syscall(SYS_sched_setattr, pid, BAD, 0));
  EACH("sched_setattr(%s, flags)", syscall(SYS_sched_setattr, pid, &attributes, 1));
  attributes.policy = 77;
  EACH("sched_setattr(%s, policy)", syscall(SYS_sched_setattr, pid, &attributes, 0));
  attributes.policy = 0;
  attributes.size = 40;
  EACH("sched_setattr(%s, size)", syscall(SYS_sched_setattr, pid, &attributes, 0));
  V(attributes.size);
  attributes.size = 4097;
  EACH("sched_setattr(%s, large)", syscall(SYS_sched_setattr, pid, &attributes, 0));
  T(sched_get_priority_max(-1));
  T(sched_get_priority_min(99));
}

static void priorities(void) {
  for (int which = -1; which < 4; ++which) {
    printf("which %d\n", which);
    if (which != PRIO_USER) {
      EACH("getpriority(%s)", syscall(SYS_getpriority, which, pid));
      EACH("setpriority(%s, 0)", syscall(SYS_setpriority, which, pid, 0));
    }
    if (which != PRIO_USER) {
      EACH("ioprio_get(%s)", syscall(SYS_ioprio_get, which + 1, pid));
      EACH("ioprio_set(%s)", syscall(SYS_ioprio_set, which + 1, pid, 2 << 13 | 4));
      EACH("ioprio_set(%s, class 7)", syscall(SYS_ioprio_set, which + 1, pid, 7 << 13));
      EACH("ioprio_set(%s, data 9)", syscall(SYS_ioprio_set, which + 1, pid, 2 << 13 | 9));
    }
  }
  T(getpriority(PRIO_USER, kNobody));
  T(getpriority(PRIO_USER, (id_t)-1));
  T(setpriority(PRIO_USER, kNobody, 0));
  T(setpriority(PRIO_PROCESS, 0, -21) == 0 || errno == EACCES);
  T(setpriority(PRIO_PROCESS, child, 1000));
  T(getpriority(PRIO_PROCESS, child));
  T(syscall(SYS_ioprio_set, 3, kNobody, 2 << 13 | 4));
  T(syscall(SYS_ioprio_get, 3, kNobody));
  T(syscall(SYS_ioprio_get, 5, 0));
  T(syscall(SYS_ioprio_get, 0, 0));
}

static void limits(void) {
  struct rlimit limit, inverted = {2, 1};
  EACH("prlimit(%s)", prlimit(pid, RLIMIT_NOFILE, NULL, &limit));
  EACH("prlimit(%s, none)", prlimit(pid, RLIMIT_NOFILE, NULL, NULL));
  EACH("prlimit(%s, BAD)", syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, BAD, NULL));
  EACH("prlimit(%s, , BAD)", syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, NULL, BAD));
  EACH("prlimit(%s, resource 99)", syscall(SYS_prlimit64, pid, 99, NULL, &limit));
  EACH("prlimit(%s, inverted)", syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, &inverted, NULL));
  EACH("prlimit(%s, resource and BAD)", syscall(SYS_prlimit64, pid, 99, BAD, NULL));
  prlimit(0, RLIMIT_CORE, NULL, &limit);
  EACH("prlimit(%s, set)", prlimit(pid, RLIMIT_CORE, &limit, &limit));
}

static void memory(void) {
  static char here[64] = "here";
  char there[64];
  struct iovec local = {there, 4}, remote = {here, 4}, bad = {BAD, 4}, huge = {here, (size_t)-1};
  EACH("process_vm_readv(%s)", process_vm_readv(pid, &local, 1, &remote, 1, 0));
  EACH("process_vm_readv(%s, flags)", process_vm_readv(pid, &local, 1, &remote, 1, 1));
  EACH("process_vm_readv(%s, none)", process_vm_readv(pid, &local, 0, &remote, 0, 0));
  EACH("process_vm_readv(%s, bad local)", process_vm_readv(pid, &bad, 1, &remote, 1, 0));
  EACH("process_vm_readv(%s, bad remote)", process_vm_readv(pid, &local, 1, &bad, 1, 0));
  EACH("process_vm_readv(%s, BAD local)", syscall(SYS_process_vm_readv, pid, BAD, 1, &remote, 1, 0));
  EACH("process_vm_readv(%s, BAD remote)", syscall(SYS_process_vm_readv, pid, &local, 1, BAD, 1, 0));
  EACH("process_vm_readv(%s, huge)", process_vm_readv(pid, &huge, 1, &remote, 1, 0));
  EACH("process_vm_readv(%s, many)", process_vm_readv(pid, &local, 1025, &remote, 1, 0));
  EACH("process_vm_readv(%s, many remote)", process_vm_readv(pid, &local, 1, &remote, 1025, 0));
  EACH("process_vm_writev(%s)", process_vm_writev(pid, &local, 1, &remote, 1, 0));
  EACH("process_vm_writev(%s, flags)", process_vm_writev(pid, &local, 1, &remote, 1, 1));
  EACH("process_vm_writev(%s, bad remote)", process_vm_writev(pid, &local, 1, &bad, 1, 0));
  void* pages[1] = {writable};
  int nodes[1] = {0}, status[1];
  writable[0] = 1;
  EACH("move_pages(%s)", pid == child ? 0 : syscall(SYS_move_pages, pid, 1, pages, NULL, status, 0));
  EACH("move_pages(%s, flags)", syscall(SYS_move_pages, pid, 1, pages, nodes, status, 0x80));
  EACH("move_pages(%s, BAD)", syscall(SYS_move_pages, pid, 1, BAD, nodes, status, 0));
  unsigned long set = 1;
  EACH("migrate_pages(%s)", syscall(SYS_migrate_pages, pid, 8, &set, &set));
  EACH("migrate_pages(%s, BAD)", syscall(SYS_migrate_pages, pid, 8, BAD, &set));
  void* head;
  size_t size;
  EACH("get_robust_list(%s)", syscall(SYS_get_robust_list, pid, &head, &size));
  EACH("get_robust_list(%s, BAD)", syscall(SYS_get_robust_list, pid, BAD, &size));
  EACH("get_robust_list(%s, , BAD)", syscall(SYS_get_robust_list, pid, &head, BAD));
  T(syscall(SYS_set_robust_list, &head, 1));
  for (int type = -1; type < 10; ++type) {
    EACH("kcmp(%s, self)", syscall(SYS_kcmp, pid, self, type, 0, 0) > 0 ? 9 : syscall(SYS_kcmp, pid, self, type, 0, 0));
    EACH("kcmp(self, %s)", syscall(SYS_kcmp, self, pid, type, 0, 0) > 0 ? 9 : syscall(SYS_kcmp, self, pid, type, 0, 0));
  }
  T(syscall(SYS_kcmp, self, self, KCMP_FILE, 0, 9999));
  T(syscall(SYS_kcmp, self, self, KCMP_FILE, 9999, 0));
  T(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, 0, BAD));
}

static void capabilities(void) {
  static const unsigned versions[] = {0, 0x19980330, 0x20071026, 0x20080522, 0x12345678};
  for (unsigned v = 0; v < 5; ++v) {
    for (int i = 0; i < kCount; ++i) {
      struct __user_cap_header_struct header = {versions[v], who[i]};
      struct __user_cap_data_struct data[2];
      errno = 0;
      long result = syscall(SYS_capget, &header, data);
      printf("capget(%#x, %s) = %ld %d, %#x\n", versions[v], kWho[i], result, errno, header.version);
      header.version = versions[v];
      errno = 0;
      result = syscall(SYS_capget, &header, NULL);
      printf("capget(%#x, %s, NULL) = %ld %d, %#x\n", versions[v], kWho[i], result, errno, header.version);
      header.version = versions[v];
      errno = 0;
      result = syscall(SYS_capget, &header, BAD);
      printf("capget(%#x, %s, BAD) = %ld %d, %#x\n", versions[v], kWho[i], result, errno, header.version);
      if (i == 5) {
        continue;
      }
      struct __user_cap_header_struct own = {0x20080522, 0};
      syscall(SYS_capget, &own, data);
      header.version = versions[v];
      errno = 0;
      result = syscall(SYS_capset, &header, data);
      printf("capset(%#x, %s) = %ld %d, %#x\n", versions[v], kWho[i], result, errno, header.version);
      header.version = versions[v];
      errno = 0;
      result = syscall(SYS_capset, &header, BAD);
      printf("capset(%#x, %s, BAD) = %ld %d, %#x\n", versions[v], kWho[i], result, errno, header.version);
    }
  }
  T(syscall(SYS_capget, NONE, NONE));
  T(syscall(SYS_capget, BAD, BAD));
  T(syscall(SYS_capget, readable, NONE));
  T(syscall(SYS_capset, NONE, NONE));
  T(syscall(SYS_capset, BAD, BAD));
  struct __user_cap_header_struct header = {0x20080522, self};
  struct __user_cap_data_struct more[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};
  T(syscall(SYS_capset, &header, more));
}

int main(void) {
  transcript_begin();
  (void)!pipe(go);
  (void)!pipe(up);
  self = getpid();
  setpgid(0, 0);
  dead = fork();
  if (dead == 0) {
    _exit(0);
  }
  waitpid(dead, NULL, 0);
  zombie = fork();
  if (zombie == 0) {
    _exit(0);
  }
  siginfo_t info;
  waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
  child = fork();
  if (child == 0) {
    char byte;
    (void)!read(go[0], &byte, 1);
    _exit(0);
  }
  int marker[2];
  (void)!pipe2(marker, O_CLOEXEC);
  execed = fork();
  if (execed == 0) {
    dup2(go[0], 0);
    execl("/bin/cat", "cat", NULL);
    _exit(1);
  }
  close(marker[1]);
  char byte;
  (void)!read(marker[0], &byte, 1);  // closed by the exec
  pthread_t thread;
  pthread_create(&thread, NULL, run, NULL);
  (void)!read(up[0], &byte, 1);
  pid_t all[] = {0, self, child, dead, zombie, thread_id, kNobody, -1, INT_MIN, INT_MAX, -child};
  memcpy(who, all, sizeof all);
  groups();
  scheduling();
  priorities();
  limits();
  memory();
  capabilities();
  kill(execed, SIGKILL);
  kill(child, SIGKILL);
  return 0;
}
