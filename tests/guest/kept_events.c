// What tells of events, across a freeze: inotify with events that nobody has read and watches of files that are gone or
// elsewhere, epoll of what is closed or in another process, timers that expired meanwhile, signals in queues with all
// that they say, signalfds, eventfds that are full, pidfds of the living and the dead.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "case.h"
#include "told.h"

static void inotify_removed(void) {
  // A file that is gone, but open: it can still be watched, and tells of what is done to it.
  int file = SYS(open("watched-removed", O_CREAT | O_RDWR, 0600));
  SYS(mkdir("watched-directory", 0755));
  int directory = SYS(open("watched-directory", O_RDONLY));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  int on_file = SYS(inotify_add_watch(fd, "watched-removed", IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF));
  int on_directory = SYS(inotify_add_watch(fd, "watched-directory", IN_ALL_EVENTS));
  SYS(unlink("watched-removed"));
  SYS(rmdir("watched-directory"));
  struct told all[32];
  told_by(fd, all, 32);
  case_wait();
  CHECK_EQ(write(file, "x", 1), 1);
  SYS(close(file));
  int count = told_by(fd, all, 32);
  CHECK(count >= 4);
  CHECK_EQ(all[0].watch, on_file);
  CHECK_EQ(all[0].mask, IN_MODIFY);
  CHECK_EQ(all[1].mask, IN_CLOSE_WRITE);
  CHECK_EQ(all[2].mask, IN_DELETE_SELF);
  CHECK_EQ(all[3].mask, IN_IGNORED);
  (void)directory;
  (void)on_directory;
}

static void inotify_moved(void) {
  SYS(mkdir("moves", 0755));
  SYS(mkdir("moves/one", 0755));
  write_file("moves/one/file", "", 0600);
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  int watch = SYS(inotify_add_watch(fd, "moves/one/file", IN_MODIFY | IN_MOVE_SELF));
  int on_directory = SYS(inotify_add_watch(fd, "moves/one", IN_CREATE));
  SYS(rename("moves/one/file", "moves/other"));
  SYS(rename("moves/one", "moves/two"));
  struct told all[8];
  CHECK_EQ(told_by(fd, all, 8), 1);
  case_wait();
  write_file("moves/two/new", "", 0600);
  int file = SYS(open("moves/other", O_WRONLY));
  CHECK_EQ(write(file, "x", 1), 1);
  CHECK_EQ(told_by(fd, all, 8), 2);
  CHECK_EQ(all[0].watch, on_directory);
  CHECK_EQ(all[1].watch, watch);
  CHECK_EQ(all[1].mask, IN_MODIFY);
}

static void inotify_numbers(void) {
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  write_file("number-a", "", 0600);
  write_file("number-b", "", 0600);
  for (int i = 0; i < 20; ++i) {
    int watch = SYS(inotify_add_watch(fd, "number-a", IN_OPEN));
    SYS(inotify_rm_watch(fd, watch));
  }
  int a = SYS(inotify_add_watch(fd, "number-a", IN_OPEN | IN_ONESHOT));
  int b = SYS(inotify_add_watch(fd, "number-b", IN_OPEN | IN_EXCL_UNLINK));
  struct told all[64];
  told_by(fd, all, 64);
  case_wait();
  CHECK_EQ(inotify_add_watch(fd, "number-a", IN_OPEN | IN_ONESHOT), a);
  SYS(close(SYS(open("number-a", O_RDONLY))));
  SYS(close(SYS(open("number-a", O_RDONLY))));
  SYS(close(SYS(open("number-b", O_RDONLY))));
  CHECK_EQ(told_by(fd, all, 64), 3);
  CHECK_EQ(all[0].watch, a);
  CHECK_EQ(all[1].mask, IN_IGNORED);
  CHECK_EQ(all[2].watch, b);
}

static void inotify_link_and_system(void) {
  SYS(symlink("nowhere", "watched-link"));
  int fd = SYS(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  SYS(inotify_add_watch(fd, "watched-link", IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW));
  SYS(inotify_add_watch(fd, "/", IN_CREATE | IN_ONLYDIR));
  SYS(inotify_add_watch(fd, "/proc", IN_CREATE));
  case_wait();
  CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
  SYS(unlink("watched-link"));
  struct told all[8];
  CHECK(told_by(fd, all, 8) >= 2);
}

static void inotify_pipe_ends(void) {
  SYS(mkfifo("watched-fifo", 0600));
  int fifo = SYS(open("watched-fifo", O_RDWR));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  SYS(inotify_add_watch(fd, "watched-fifo", IN_MODIFY));
  case_wait();
  CHECK_EQ(write(fifo, "x", 1), 1);
  struct told all[4];
  CHECK_EQ(told_by(fd, all, 4), 1);
}

static void epoll_states(void) {
  int set = SYS(epoll_create1(EPOLL_CLOEXEC)), inner = SYS(epoll_create1(0));
  int pair[2], closed[2];
  SYS(pipe(pair));
  SYS(pipe(closed));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1122334455667788};
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event));
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = 2;
  int again = SYS(dup(pair[0]));
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, again, &event));
  event.events = EPOLLIN;
  event.data.u64 = 3;
  int kept = SYS(dup(closed[0]));
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, closed[0], &event));
  SYS(close(closed[0]));  // the entry lives on by `kept`
  event.data.u64 = 4;
  SYS(epoll_ctl(inner, EPOLL_CTL_ADD, set, &event));
  event.events = EPOLLOUT | EPOLLET;
  event.data.u64 = 5;
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event));
  struct epoll_event got[8];
  CHECK_EQ(epoll_wait(set, got, 8, 0), 1);
  CHECK_EQ(got[0].data.u64, 5);
  CHECK_EQ(write(pair[1], "xy", 2), 2);
  CHECK_EQ(epoll_wait(set, got, 8, 0), 2);  // the edge and the one shot
  case_wait();
  CHECK_EQ(epoll_wait(set, got, 8, 0), 0);
  CHECK_EQ(write(pair[1], "z", 1), 1);
  CHECK_EQ(epoll_wait(inner, got, 8, 0), 1);
  CHECK_EQ(epoll_wait(set, got, 8, 0), 1);
  CHECK_EQ(got[0].data.u64, 0x1122334455667788);
  CHECK_EQ(write(closed[1], "k", 1), 1);
  CHECK_EQ(epoll_wait(set, got, 8, 0), 1);
  CHECK_EQ(got[0].data.u64, 3);
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = 6;
  SYS(epoll_ctl(set, EPOLL_CTL_MOD, again, &event));
  SYS(close(kept));
  CHECK_EQ(epoll_wait(set, got, 8, 0), 1);
  CHECK_EQ(got[0].data.u64, 6);
}

static void epoll_same_number(void) {
  // Two entries under one number: the first one's file was moved elsewhere, and another took its place.
  int set = SYS(epoll_create1(0)), one[2], two[2];
  SYS(pipe(one));
  SYS(pipe(two));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1}, got[4];
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, one[0], &event));
  int moved = SYS(dup(one[0]));
  SYS(dup2(two[0], one[0]));
  event.data.u64 = 2;
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, one[0], &event));
  case_wait();
  CHECK_EQ(write(one[1], "a", 1), 1);
  CHECK_EQ(write(two[1], "b", 1), 1);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 2);
  CHECK_EQ(got[0].data.u64 + got[1].data.u64, 3);
  (void)moved;
}

static void epoll_many_kinds(void) {
  int set = SYS(epoll_create1(0)), pair[2];
  int fds[] = {SYS(eventfd(1, 0)), SYS(timerfd_create(CLOCK_MONOTONIC, 0)), SYS(inotify_init1(0)), SYS(socket(AF_INET, SOCK_STREAM, 0)),
               SYS(pidfd_open(getppid(), 0))};
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  for (size_t i = 0; i < sizeof fds / sizeof *fds; ++i) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = i};
    SYS(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event));
  }
  struct epoll_event exclusive = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = 9};
  SYS(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &exclusive));
  case_wait();
  struct epoll_event got[8];
  int count = SYS(epoll_wait(set, got, 8, 0));
  uint64_t mask = 0;
  for (int i = 0; i < count; ++i) {
    mask |= 1ULL << got[i].data.u64;
  }
  CHECK_EQ(mask & ~(1ULL << 3), 1);  // the eventfd; an unconnected socket hangs up
  CHECK_EQ(write(pair[1], "x", 1), 1);
  CHECK(epoll_wait(set, got, 8, 0) > 1);
}

static void timers(void) {
  int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
  int fds[3], absolute = SYS(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)), never = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  for (int i = 0; i < 3; ++i) {
    fds[i] = SYS(timerfd_create(clocks[i], TFD_NONBLOCK));
    struct itimerspec time = {{1000, 7}, {0, 1}};
    SYS(timerfd_settime(fds[i], 0, &time, NULL));
    struct pollfd waits = {fds[i], POLLIN, 0};
    CHECK_EQ(poll(&waits, 1, -1), 1);
  }
  struct timespec now;
  SYS(clock_gettime(CLOCK_REALTIME, &now));
  struct itimerspec far = {{0, 0}, {now.tv_sec + 5000, 3}};
  SYS(timerfd_settime(absolute, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL));
  case_wait();
  for (int i = 0; i < 3; ++i) {
    uint64_t ticks = 0;
    CHECK_EQ(read(fds[i], &ticks, 8), 8);
    CHECK_EQ(ticks, 1);
    struct itimerspec left;
    SYS(timerfd_gettime(fds[i], &left));
    CHECK_EQ(left.it_interval.tv_sec, 1000);
    CHECK_EQ(left.it_interval.tv_nsec, 7);
    CHECK(left.it_value.tv_sec > 800 && left.it_value.tv_sec <= 1000);
  }
  struct itimerspec left;
  SYS(timerfd_gettime(absolute, &left));
  CHECK(left.it_value.tv_sec > 4800 && left.it_value.tv_sec <= 5000);
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", absolute);
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK(strstr(text, "settime flags: 03"));
  uint64_t ticks;
  CHECK_ERRNO(read(never, &ticks, 8), EAGAIN);
}

static void event_counters(void) {
  int full = SYS(eventfd(0, EFD_NONBLOCK)), semaphore = SYS(eventfd(7, EFD_SEMAPHORE | EFD_NONBLOCK)), none = SYS(eventfd(0, EFD_CLOEXEC));
  uint64_t most = UINT64_MAX - 1, got;
  CHECK_EQ(write(full, &most, 8), 8);
  case_wait();
  uint64_t one = 1;
  CHECK_ERRNO(write(full, &one, 8), EAGAIN);
  CHECK_EQ(read(full, &got, 8), 8);
  CHECK(got == most);
  for (int i = 0; i < 7; ++i) {
    CHECK_EQ(read(semaphore, &got, 8), 8);
    CHECK_EQ(got, 1);
  }
  CHECK_ERRNO(read(semaphore, &got, 8), EAGAIN);
  CHECK_EQ(fcntl(none, F_GETFD), FD_CLOEXEC);
}

static void queued_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGALRM);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int i = 0; i < 20; ++i) {
    union sigval value = {.sival_int = 1000 + i};
    SYS(sigqueue(getpid(), SIGRTMIN + i % 3, value));
  }
  SYS(raise(SIGUSR1));
  SYS(kill(getpid(), SIGUSR2));
  SYS(kill(getpid(), SIGWINCH));
  SYS(kill(getpid(), SIGURG));
  siginfo_t own = {.si_code = -60, .si_signo = SIGRTMIN + 5};
  own.si_pid = 12345;
  own.si_value.sival_ptr = (void*)(uintptr_t)0x123456789abcdef0;
  SYS(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN + 5, &own));
  case_wait();
  sigset_t pending;
  SYS(sigpending(&pending));
  CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2) && sigismember(&pending, SIGWINCH) && sigismember(&pending, SIGURG));
  struct timespec none = {0, 0};
  for (int kind = 0; kind < 3; ++kind) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN + kind);
    int wanted = kind;
    siginfo_t info;
    while (sigtimedwait(&one, &info, &none) > 0) {
      CHECK_EQ(info.si_value.sival_int, 1000 + wanted);
      CHECK_EQ(info.si_code, SI_QUEUE);
      CHECK_EQ(info.si_pid, getpid());
      CHECK_EQ(info.si_uid, getuid());
      wanted += 3;
    }
    CHECK(wanted >= 20);
  }
  sigset_t five;
  sigemptyset(&five);
  sigaddset(&five, SIGRTMIN + 5);
  siginfo_t info;
  CHECK_EQ(sigtimedwait(&five, &info, &none), SIGRTMIN + 5);
  CHECK_EQ(info.si_code, -60);
  CHECK(info.si_value.sival_ptr == (void*)(uintptr_t)0x123456789abcdef0);
}

static void signal_descriptors(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = SYS(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  union sigval value = {.sival_int = 55};
  SYS(sigqueue(getpid(), SIGRTMIN + 1, value));
  SYS(kill(getpid(), SIGUSR1));
  case_wait();
  struct signalfd_siginfo info;
  CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
  CHECK_EQ(info.ssi_signo, SIGUSR1);
  CHECK_EQ(info.ssi_pid, getpid());
  CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
  CHECK_EQ(info.ssi_int, 55);
  CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);
}

static void process_descriptors(void) {
  pid_t living = guest_fork();
  if (living == 0) {
    pause();
  }
  pid_t zombie = guest_fork();
  if (zombie == 0) {
    _exit(7);
  }
  pid_t dead = guest_fork();
  if (dead == 0) {
    _exit(8);
  }
  pid_t dead_too = guest_fork();
  if (dead_too == 0) {
    _exit(9);
  }
  int on_living = SYS(pidfd_open(living, 0)), on_zombie = SYS(pidfd_open(zombie, PIDFD_NONBLOCK)), on_dead = SYS(pidfd_open(dead, 0));
  int on_dead_too = SYS(pidfd_open(dead_too, 0)), on_self = SYS(pidfd_open(getpid(), 0)), again = SYS(dup(on_living));
  siginfo_t info;
  SYS(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT));
  REAP_CODE(dead, 8);
  REAP_CODE(dead_too, 9);
  case_wait();
  CHECK_ERRNO(pidfd_send_signal(on_dead, 0, NULL, 0), ESRCH);
  CHECK_ERRNO(pidfd_send_signal(on_dead_too, 0, NULL, 0), ESRCH);
  SYS(pidfd_send_signal(on_self, 0, NULL, 0));
  struct pollfd polls = {on_zombie, POLLIN, 0};
  CHECK_EQ(poll(&polls, 1, 0), 1);
  SYS(waitid(P_PIDFD, (id_t)on_zombie, &info, WEXITED));
  CHECK_EQ(info.si_status, 7);
  CHECK_EQ(info.si_pid, zombie);
  SYS(pidfd_send_signal(again, SIGKILL, NULL, 0));
  SYS(waitid(P_PIDFD, (id_t)on_living, &info, WEXITED));
  CHECK_EQ(info.si_pid, living);
}

static void thread_descriptor_body(int signal) { (void)signal; }
static void* waits(void* argument) {
  *(pid_t*)argument = raw_gettid();
  sigset_t none;
  sigemptyset(&none);
  sigaddset(&none, SIGTERM);
  for (;;) {
    sigsuspend(&none);
  }
  return NULL;
}

static void thread_descriptors(void) {
  static volatile pid_t tid;
  signal(SIGUSR1, thread_descriptor_body);
  guest_thread(waits, (void*)&tid);
  while (tid == 0) {
    sched_yield();
  }
  int fd = (int)syscall(SYS_pidfd_open, tid, O_EXCL /* PIDFD_THREAD, since Linux 6.9 */);
  CHECK(fd >= 0);
  case_wait();
  SYS(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_EQ(field_of(text, "Pid"), tid);
  CHECK(fcntl(fd, F_GETFL) & O_EXCL);
}

static void inotify_unread(void) {
  SYS(mkdir("unread", 0755));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  // Not of who merely looks in, as anybody on the machine may.
  int watch = SYS(inotify_add_watch(fd, "unread", IN_ALL_EVENTS & ~(IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)));
  write_file("unread/a", "text", 0600);
  SYS(rename("unread/a", "unread/b"));
  SYS(unlink("unread/b"));
  int events[] = {IN_CREATE, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE};
  struct pollfd waits = {fd, POLLIN, 0};
  CHECK_EQ(poll(&waits, 1, 0), 1);
  int before, after;
  SYS(ioctl(fd, FIONREAD, &before));
  case_wait();
  SYS(ioctl(fd, FIONREAD, &after));
  CHECK_EQ(after, before);
  CHECK_EQ(poll(&waits, 1, 0), 1);
  write_file("unread/late", "", 0600);
  struct told all[32];
  int count = told_by(fd, all, 32);
  CHECK(count > 7);
  for (int i = 0; i < 7; ++i) {
    CHECK_EQ(all[i].watch, watch);
    CHECK_EQ(all[i].mask, events[i]);
    CHECK_STR(all[i].name, i < 5 ? "a" : "b");
  }
  CHECK(all[4].cookie != 0);
  CHECK_EQ(all[4].cookie, all[5].cookie);
  CHECK_EQ(all[7].mask, IN_CREATE);
  CHECK_STR(all[7].name, "late");
}

static void inotify_partly_read(void) {
  SYS(mkdir("partly", 0755));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  SYS(inotify_add_watch(fd, "partly", IN_CREATE));
  for (int i = 0; i < 100; ++i) {
    char name[64];
    snprintf(name, sizeof name, "partly/%0*d", i % 40 + 3, i);
    SYS(close(SYS(open(name, O_CREAT | O_WRONLY, 0600))));
  }
  char buffer[sizeof(struct inotify_event) + 64];
  CHECK(SYS(read(fd, buffer, sizeof buffer)) > 0);
  case_wait();
  struct told all[128];
  int count = told_by(fd, all, 128);
  CHECK(count >= 96 && count < 100);
  for (int i = 0; i < count; ++i) {
    CHECK_EQ(atoi(all[i].name), 100 - count + i);
  }
}

// The queue's own words: too much for it, a watch that has gone; and copies of the descriptor, of which some go first.
static void inotify_overflown(void) {
  SYS(mkdir("overflown", 0755));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  int watch = SYS(inotify_add_watch(fd, "overflown", IN_CREATE | IN_DELETE | IN_ONLYDIR));
  int copy = SYS(fcntl(fd, F_DUPFD_CLOEXEC, 200));
  char text[32] = "";
  read_file("/proc/sys/fs/inotify/max_queued_events", text, sizeof text);
  long most = atol(text);
  for (long i = 0; i <= most / 2; ++i) {
    SYS(mknod("overflown/x", S_IFREG | 0600, 0));
    SYS(unlink("overflown/x"));
  }
  SYS(inotify_rm_watch(fd, watch));
  case_wait();
  SYS(close(fd));
  fd = SYS(dup(copy));
  SYS(close(copy));
  // A buffer that has no room for the first record takes none.
  char record[sizeof(struct inotify_event) + 16];
  CHECK_ERRNO(read(fd, record, sizeof(struct inotify_event)), EINVAL);
  for (long i = 0; i < most; ++i) {
    struct inotify_event event;
    CHECK_EQ(read(fd, record, sizeof record), sizeof record);
    memcpy(&event, record, sizeof event);
    CHECK_EQ(event.wd, watch);
    CHECK_EQ(event.mask, i % 2 == 0 ? IN_CREATE : IN_DELETE);
  }
  struct told last[4];
  CHECK_EQ(told_by(fd, last, 4), 1);
  CHECK_EQ(last[0].mask, IN_Q_OVERFLOW);
  CHECK_EQ(last[0].watch, -1);
  // Numbers go on where they were.
  CHECK_EQ(inotify_add_watch(fd, "overflown", IN_CREATE), watch + 1);
}

// Whoever holds it may read, by whatever call.
static void inotify_read_by_another(void) {
  SYS(mkdir("shared", 0755));
  int fd = SYS(inotify_init1(0));
  int watch = SYS(inotify_add_watch(fd, "shared", IN_CREATE));
  write_file("shared/first", "", 0600);
  write_file("shared/second", "", 0600);
  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    char one[sizeof(struct inotify_event) + 16], two[sizeof one];
    struct iovec parts[] = {{one, sizeof one}, {two, sizeof two}};
    CHECK_EQ(readv(fd, parts, 2), sizeof one + sizeof two);
    struct inotify_event event;
    memcpy(&event, two, sizeof event);
    CHECK_EQ(event.wd, watch);
    CHECK_EQ(event.mask, IN_CREATE);
    CHECK_STR(two + sizeof event, "second");
    _exit(0);
  }
  case_wait();
  gate_open(&down);
  REAP(child);
}

int main(void) {
  guest_begin();
  static const struct guest_case cases[] = {
      {"inotify_removed", inotify_removed}, {"inotify_moved", inotify_moved}, {"inotify_numbers", inotify_numbers},
      {"inotify_unread", inotify_unread}, {"inotify_partly_read", inotify_partly_read},
      {"inotify_overflown", inotify_overflown}, {"inotify_read_by_another", inotify_read_by_another},
      {"inotify_link_and_system", inotify_link_and_system}, {"inotify_pipe_ends", inotify_pipe_ends},
      {"epoll_states", epoll_states}, {"epoll_same_number", epoll_same_number}, {"epoll_many_kinds", epoll_many_kinds},
      {"timers", timers}, {"event_counters", event_counters}, {"queued_signals", queued_signals},
      {"signal_descriptors", signal_descriptors}, {"process_descriptors", process_descriptors},
      {"thread_descriptors", thread_descriptors},
  };
  return CASES(cases);
}
