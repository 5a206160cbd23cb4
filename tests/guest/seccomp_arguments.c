// Filters that judge arguments: what they see are the program's own ones, pids and flags as it passed them, once. And
// an exec behind a filter that refuses writable code: the new program is as complete as any.
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "filter.h"

enum { kLow = 0, kHigh = 4 };
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (field))
#define ARGUMENT(index, half) (offsetof(struct seccomp_data, args) + 8 * (index) + (half))
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define ANY_BIT(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), (yes), (no))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))

#define INSTALL(...)                                                                       \
  do {                                                                                     \
    struct sock_filter code_[] = {__VA_ARGS__};                                            \
    struct sock_fprog program_ = {.len = sizeof code_ / sizeof code_[0], .filter = code_}; \
    SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));                                           \
    SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program_));                            \
  } while (0)

static struct gate up, down;

static void* wait_there(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&down);
  return unused;
}

// Only its own pid may stand where these calls name a process.
static void only_own_pid(void) {
  unsigned self = (unsigned)getpid();
  INSTALL(LOAD(offsetof(struct seccomp_data, nr)), EQUAL(SYS_sched_getaffinity, 3, 0), EQUAL(SYS_getpriority, 4, 0),
          EQUAL(SYS_wait4, 5, 0), RETURN(SECCOMP_RET_ALLOW), LOAD(ARGUMENT(0, kLow)), EQUAL(self, 5, 4),
          LOAD(ARGUMENT(1, kLow)), EQUAL(self, 3, 2), LOAD(ARGUMENT(0, kLow)), EQUAL(0xffffffff, 1, 0),
          RETURN(SECCOMP_RET_ERRNO | EXDEV), RETURN(SECCOMP_RET_ALLOW));
  cpu_set_t set;
  for (int i = 0; i < 20; ++i) {
    SYS(syscall(SYS_sched_getaffinity, self, sizeof set, &set));
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, self + 1, sizeof set, &set), EXDEV);
    SYS(syscall(SYS_getpriority, PRIO_PROCESS, self));
    CHECK_ERRNO(syscall(SYS_getpriority, PRIO_PROCESS, 0), EXDEV);
    pid_t child = fork();
    if (child == 0) {
      _exit(getpid() > 1 ? 5 : 6);
    }
    CHECK_ERRNO(waitpid(child, NULL, 0), EXDEV);
    int status;
    CHECK_EQ(wait(&status), child);
    CHECK_EQ(status, 5 << 8);
  }
}

// Threads may be made, with just the flags of the C library; the kernel is to write ids, and does.
static void only_threads(void) {
  up = gate_make();
  down = gate_make();
  INSTALL(LOAD(offsetof(struct seccomp_data, nr)), EQUAL(SYS_clone3, 2, 0), EQUAL(SYS_clone, 2, 0),
          RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_ERRNO | ENOSYS), LOAD(ARGUMENT(0, kLow)),
          EQUAL(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
                0, 1),
          RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_KILL_PROCESS));
  for (int i = 0; i < 20; ++i) {
    pthread_t thread = guest_thread(wait_there, NULL);
    pid_t tid = (pid_t)gate_receive(&up);
    CHECK(tid > 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, 0), 0);
    gate_open(&down);
    guest_join(thread);
  }
}

static void* break_the_rule(void* unused) {
  SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
  syscall(SYS_getpid);
  FAIL("getpid went on in strict mode");
  return unused;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
    CHECK_ERRNO(syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                EPERM);
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
    struct timespec now;
    SYS(clock_gettime(CLOCK_MONOTONIC, &now));
    // A lock of the kind that Beam's own code serves.
    int word = 0;
    SYS(syscall(SYS_futex, &word, 6 /* FUTEX_LOCK_PI */, 0, NULL, NULL, 0));
    CHECK_EQ(word, raw_gettid());
    SYS(syscall(SYS_futex, &word, 7 /* FUTEX_UNLOCK_PI */, 0, NULL, NULL, 0));
    return 21;
  }
  CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_DISABLED);
  CHECK_EQ(status_field("/proc/self/status", "Seccomp"), 0);
  unsigned known = SECCOMP_RET_TRAP, unknown = 0x12340000;
  SYS(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &known));
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
  struct seccomp_notif_sizes sizes;
  SYS(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  CHECK_EQ(sizes.seccomp_data, sizeof(struct seccomp_data));

  pid_t child = guest_fork();
  if (child == 0) {
    only_own_pid();
    CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
    CHECK_EQ(status_field("/proc/self/status", "Seccomp"), SECCOMP_MODE_FILTER);
    _exit(0);
  }
  REAP(child);

  child = guest_fork();
  if (child == 0) {
    only_threads();
    _exit(0);
  }
  REAP(child);

  child = guest_fork();
  if (child == 0) {
    INSTALL(LOAD(offsetof(struct seccomp_data, nr)), EQUAL(SYS_mmap, 0, 2), LOAD(ARGUMENT(2, kLow)),
            ANY_BIT(PROT_EXEC, 1, 0), RETURN(SECCOMP_RET_ALLOW), ANY_BIT(PROT_WRITE, 0, 1),
            RETURN(SECCOMP_RET_ERRNO | EPERM), RETURN(SECCOMP_RET_ALLOW));
    char self[16];
    snprintf(self, sizeof self, "%d", getpid());
    execl("/proc/self/exe", argv[0], self, (char*)NULL);
    _exit(127);
  }
  REAP_CODE(child, 21);

  // A verdict that the filter computes: the first argument is the error.
  child = guest_fork();
  if (child == 0) {
    INSTALL(LOAD(offsetof(struct seccomp_data, nr)), EQUAL(SYS_dup, 1, 0), RETURN(SECCOMP_RET_ALLOW),
            LOAD(ARGUMENT(0, kLow)), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
            BPF_STMT(BPF_RET | BPF_A, 0));
    CHECK_ERRNO(syscall(SYS_dup, ENOMEDIUM), ENOMEDIUM);
    CHECK_ERRNO(syscall(SYS_dup, EXDEV), EXDEV);
    _exit(0);
  }
  REAP(child);

  // The strict mode ends a thread alone.
  child = guest_fork();
  if (child == 0) {
    pthread_t thread = guest_thread(break_the_rule, NULL);
    guest_join(thread);
    CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_DISABLED);
    _exit(9);
  }
  REAP_CODE(child, 9);
  return guest_pass();
}
