// sched_*, by explicit pid: policy, parameters, affinity, interval and attributes of self, a child, a thread, nobody.
#include "guest.h"

// linux/sched/types.h can't stand beside the library's sched.h.
struct sched_attr {
  uint32_t size, sched_policy;
  uint64_t sched_flags;
  int32_t sched_nice;
  uint32_t sched_priority;
  uint64_t sched_runtime, sched_deadline, sched_period;
  uint32_t sched_util_min, sched_util_max;
};

static struct gate up, done;

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&done);
  return unused;
}

static void inspect(pid_t pid) {
  struct sched_param param = {99};
  CHECK_EQ(syscall(SYS_sched_getscheduler, pid), SCHED_OTHER);
  SYS(syscall(SYS_sched_getparam, pid, &param));
  CHECK_EQ(param.sched_priority, 0);
  struct timespec interval;
  SYS(syscall(SYS_sched_rr_get_interval, pid, &interval));
  struct sched_attr attr;
  SYS(syscall(SYS_sched_getattr, pid, &attr, sizeof attr, 0));
  CHECK_EQ(attr.sched_policy, SCHED_OTHER);
  unsigned long mask[16], before[16];
  long size = SYS(syscall(SYS_sched_getaffinity, pid, sizeof before, before));
  CHECK(size > 0);
  SYS(syscall(SYS_sched_setaffinity, pid, (size_t)size, before));
  SYS(syscall(SYS_sched_getaffinity, pid, sizeof mask, mask));
  CHECK_EQ(memcmp(mask, before, (size_t)size), 0);
}

int main(void) {
  guest_begin();
  up = gate_make();
  done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&done);
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    _exit(0);
  }
  pthread_t thread = guest_thread(run, NULL);
  pid_t tid = (pid_t)gate_receive(&up);
  inspect(0);
  inspect(getpid());
  inspect(child);
  inspect(tid);
  // What is set for the child is the child's.
  struct sched_param param = {0};
  SYS(syscall(SYS_sched_setscheduler, child, SCHED_BATCH, &param));
  CHECK_EQ(syscall(SYS_sched_getscheduler, child), SCHED_BATCH);
  CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
  CHECK_EQ(syscall(SYS_sched_getscheduler, tid), SCHED_OTHER);
  struct sched_attr attr = {.size = sizeof attr, .sched_policy = SCHED_BATCH};
  SYS(syscall(SYS_sched_setattr, tid, &attr, 0));
  CHECK_EQ(syscall(SYS_sched_getscheduler, tid), SCHED_BATCH);
  CHECK_EQ(syscall(SYS_sched_getscheduler, getpid()), SCHED_OTHER);

  enum { kNobody = 0x3fffffff };
  unsigned long mask[16];
  CHECK_ERRNO(syscall(SYS_sched_getscheduler, kNobody), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getparam, kNobody, &param), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, kNobody, sizeof mask, mask), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getattr, kNobody, &attr, sizeof attr, 0), ESRCH);
  struct timespec interval;
  CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, kNobody, &interval), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getscheduler, -1), EINVAL);
  gate_open(&done);
  gate_open(&done);
  guest_join(thread);
  REAP(child);
  return guest_pass();
}
