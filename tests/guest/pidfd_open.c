// pidfd_open: of oneself, a child, a zombie; poll, wait, errors; a pidfd outlives its process and never means another.
#include <sys/epoll.h>

#include "guest.h"

static void* run(void* argument) {
  struct gate* gates = argument;
  gate_send(&gates[0], raw_gettid());
  gate_wait(&gates[1]);
  return NULL;
}

int main(void) {
  guest_begin();
  int self = (int)SYS(syscall(SYS_pidfd_open, getpid(), 0));
  CHECK_EQ(fcntl(self, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(syscall(SYS_pidfd_open, 0x3fffffff, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_pidfd_open, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 0x40000000), EINVAL);
  struct gate gates[2] = {gate_make(), gate_make()};
  pthread_t thread = guest_thread(run, gates);
  pid_t tid = (pid_t)gate_receive(&gates[0]);
  // A thread that is not a leader: EINVAL, ENOENT since Linux 6.16.
  long got = syscall(SYS_pidfd_open, tid, 0);
  CHECK_EQ(got, -1);
  CHECK(errno == EINVAL || errno == ENOENT);
  gate_open(&gates[1]);
  guest_join(thread);

  for (int i = 0; i < 20; ++i) {
    struct gate down = gate_make();
    pid_t child = guest_fork();
    if (child == 0) {
      gate_wait(&down);
      _exit(i);
    }
    int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
    int epoll = SYS(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 99};
    SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, pidfd, &event));
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    SYS(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
    gate_open(&down);
    CHECK_EQ(SYS(epoll_wait(epoll, &event, 1, -1)), 1);
    CHECK_EQ(event.data.u64, 99);
    // A directory of /proc names a process as well.
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", child);
    int directory = SYS(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    SYS(syscall(SYS_pidfd_send_signal, directory, 0, NULL, 0));
    // A zombie can be opened.
    int zombie = (int)SYS(syscall(SYS_pidfd_open, child, 0));
    siginfo_t info = {0};
    SYS(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_status, i);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, zombie, SIGTERM, NULL, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, directory, 0, NULL, 0), ESRCH);
    close(directory);
    CHECK_ERRNO(syscall(SYS_pidfd_open, child, 0), ESRCH);
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), ECHILD);
    close(pidfd);
    close(zombie);
    close(epoll);
    gate_close(&down);
  }
  return guest_pass();
}
