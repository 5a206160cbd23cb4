// A process outside the sandbox can't be seen or touched by its number, by any call; natively all of these find it.
#include <linux/kcmp.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "guest.h"

int main(void) {
  guest_begin();
  const char* text = getenv("BEAM_OUTSIDE_PID");
  if (!text) {
    FAIL("BEAM_OUTSIDE_PID is not set: run this guest by tests/run_guest");
  }
  pid_t outside = atoi(text);
  char path[64], buffer[64];
  snprintf(path, sizeof path, "/proc/%d", outside);
  struct stat status;
  if (!under_beam()) {
    SYS(kill(outside, 0));
    SYS(stat(path, &status));
    SYS(getpgid(outside));
    return guest_pass();
  }
  CHECK(outside > 1000);
  CHECK_ERRNO(stat(path, &status), ENOENT);
  CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
  CHECK_ERRNO(chdir(path), ENOENT);
  int proc = SYS(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK_ERRNO(openat(proc, text, O_RDONLY), ENOENT);
  snprintf(path, sizeof path, "/proc/%d/status", outside);
  CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
  snprintf(path, sizeof path, "/proc/self/task/%d", outside);
  CHECK_ERRNO(access(path, F_OK), ENOENT);
  snprintf(path, sizeof path, "/proc/%d/exe", outside);
  CHECK_ERRNO(readlink(path, buffer, sizeof buffer), ENOENT);
  // The host's number of this very process is not known either: its parent outside is the supervisor or its client.
  CHECK_ERRNO(kill(outside, 0), ESRCH);
  CHECK_ERRNO(kill(outside, SIGKILL), ESRCH);
  CHECK_ERRNO(kill(-outside, SIGKILL), ESRCH);
  CHECK_ERRNO(syscall(SYS_tkill, outside, SIGKILL), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, outside, outside, SIGKILL), ESRCH);
  union sigval value = {.sival_int = 1};
  CHECK_ERRNO(sigqueue(outside, SIGKILL, value), ESRCH);
  siginfo_t info = {.si_code = SI_QUEUE};
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, outside, outside, SIGKILL, &info), ESRCH);
  CHECK_ERRNO(syscall(SYS_pidfd_open, outside, 0), ESRCH);
  CHECK_ERRNO(getpgid(outside), ESRCH);
  CHECK_ERRNO(getsid(outside), ESRCH);
  CHECK_ERRNO(setpgid(outside, 0), ESRCH);
  CHECK_ERRNO(waitpid(outside, NULL, 0), ECHILD);
  CHECK_ERRNO(getpriority(PRIO_PROCESS, (id_t)outside), ESRCH);
  CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)outside, 19), ESRCH);
  struct rlimit limit;
  CHECK_ERRNO(prlimit(outside, RLIMIT_NOFILE, NULL, &limit), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getscheduler, outside), ESRCH);
  unsigned long mask[16];
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, outside, sizeof mask, mask), ESRCH);
  struct iovec part = {buffer, sizeof buffer};
  CHECK_ERRNO(process_vm_readv(outside, &part, 1, &part, 1, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_kcmp, getpid(), outside, KCMP_VM, 0, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_ioprio_get, 1, outside), ESRCH);
  void* head;
  size_t size;
  CHECK_ERRNO(syscall(SYS_get_robust_list, outside, &head, &size), ESRCH);
  clockid_t clock;
  CHECK_EQ(clock_getcpuclockid(outside, &clock), ESRCH);
  CHECK_ERRNO(fcntl(0, F_SETOWN, outside), ESRCH);
  // Its parent is shown as pid 1's, not as a number of the host.
  CHECK_EQ(status_field("/proc/1/status", "PPid"), 0);
  return guest_pass();
}
