// Sending signals: whom, which, with what permission, from what memory.
#include <pthread.h>
#include <sys/signalfd.h>

#include "calls.h"

static int caught;
static siginfo_t got;
static void handle(int signal, siginfo_t* info, void* context) {
  (void)context;
  caught = signal;
  got = *info;
}

static pid_t self, child, dead, zombie, thread_id;
static int go[2], up[2];

static void* run(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);  // those who wait for it are others
  thread_id = (pid_t)syscall(SYS_gettid);
  (void)!write(up[1], "x", 1);
  char byte;
  (void)!read(go[0], &byte, 1);
  return unused;
}

static siginfo_t info_of(int code) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_code = code;
  info.si_pid = 12345;
  info.si_uid = 54321;
  return info;
}

static void shown(const char* what) {
  const char* sender = got.si_pid == self    ? "self"
                       : got.si_pid == child ? "child"
                       : got.si_pid == 12345 ? "12345"
                       : got.si_pid == 0     ? "0"
                                             : "another";
  printf("%s: caught %d signo %d code %d from %s errno %d own uid %d\n", what, caught, got.si_signo, got.si_code,
         sender, got.si_errno, got.si_uid == getuid());
  caught = 0;
  memset(&got, 0, sizeof got);
}

static void plain(void) {
  static const int numbers[] = {-1, 0, SIGUSR1, 32, 33, 34, 64, 65, 127, 1 << 16, INT_MAX, INT_MIN};
  pid_t pids[] = {kNobody, -kNobody, INT_MIN, INT_MAX, -INT_MAX, dead, -dead, zombie, child, self, thread_id, -self};
  static const char* names[] = {"nobody", "-nobody", "INT_MIN", "INT_MAX", "-INT_MAX", "dead",
                                "-dead",  "zombie",  "child",   "self",    "thread",   "-self"};
  for (unsigned p = 0; p < sizeof pids / sizeof *pids; ++p) {
    for (unsigned n = 0; n < sizeof numbers / sizeof *numbers; ++n) {
      errno = 0;
      long result = kill(pids[p], numbers[n]);
      printf("kill(%s, %d) = %ld %d\n", names[p], numbers[n], result, errno);
      errno = 0;
      result = syscall(SYS_tkill, pids[p], numbers[n]);
      printf("tkill(%s, %d) = %ld %d\n", names[p], numbers[n], result, errno);
      for (unsigned g = 0; g < sizeof pids / sizeof *pids; ++g) {
        errno = 0;
        result = syscall(SYS_tgkill, pids[g], pids[p], numbers[n]);
        printf("tgkill(%s, %s, %d) = %ld %d\n", names[g], names[p], numbers[n], result, errno);
      }
      static const int codes[] = {SI_USER,    SI_KERNEL, SI_QUEUE, SI_TIMER, SI_MESGQ,
                                  SI_ASYNCIO, SI_TKILL,  1,        -70,      INT_MIN};
      for (unsigned c = 0; c < sizeof codes / sizeof *codes; ++c) {
        siginfo_t info = info_of(codes[c]);
        errno = 0;
        result = syscall(SYS_rt_sigqueueinfo, pids[p], numbers[n], &info);
        printf("rt_sigqueueinfo(%s, %d, code %d) = %ld %d\n", names[p], numbers[n], codes[c], result, errno);
        info = info_of(codes[c]);
        errno = 0;
        result = syscall(SYS_rt_tgsigqueueinfo, self, pids[p], numbers[n], &info);
        printf("rt_tgsigqueueinfo(self, %s, %d, code %d) = %ld %d\n", names[p], numbers[n], codes[c], result, errno);
      }
    }
  }
}

static void bad_memory(void) {
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, NONE));
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, BAD));
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, HIGH));
  T(syscall(SYS_rt_sigqueueinfo, kNobody, SIGUSR1, BAD));
  T(syscall(SYS_rt_sigqueueinfo, self, 1000, BAD));
  T(syscall(SYS_rt_sigqueueinfo, self, 0, readable));
  memset(tail(48), 0, 48);
  ((siginfo_t*)tail(48))->si_code = SI_QUEUE;
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, tail(48)));
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, tail(40)));
  T(syscall(SYS_rt_tgsigqueueinfo, self, self, SIGUSR1, BAD));
  T(syscall(SYS_rt_tgsigqueueinfo, 0, self, SIGUSR1, BAD));
  siginfo_t info = info_of(-70);
  memset((char*)&info + 48, 1, 4);
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, &info));
  info = info_of(SI_QUEUE);
  memset((char*)&info + 48, 1, 4);
  T(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, &info));
  T(syscall(SYS_rt_tgsigqueueinfo, self, 0, SIGUSR1, &info));
  T(syscall(SYS_rt_tgsigqueueinfo, self, -1, SIGUSR1, &info));
  T(syscall(SYS_rt_tgsigqueueinfo, -1, self, SIGUSR1, &info));
  T(syscall(SYS_rt_tgsigqueueinfo, child, self, SIGUSR1, &info));
}

static void what_arrives(void) {
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGUSR2, &action, NULL);
  sigaction(SIGRTMIN + 3, &action, NULL);
  kill(self, SIGUSR2);
  shown("kill");
  kill(0, 0);
  raise(SIGUSR2);
  shown("raise");
  syscall(SYS_tkill, self, SIGUSR2);
  shown("tkill");
  union sigval value = {.sival_int = 7};
  sigqueue(self, SIGRTMIN + 3, value);
  printf("value %d\n", got.si_value.sival_int);
  shown("sigqueue");
  static const int codes[] = {SI_USER,  SI_KERNEL, SI_QUEUE,    SI_TIMER,   SI_MESGQ, SI_ASYNCIO,
                              SI_SIGIO, SI_TKILL,  SI_DETHREAD, SI_ASYNCNL, 1,        2,
                              3,        6,         -70,         INT_MIN,    INT_MAX};
  for (unsigned c = 0; c < sizeof codes / sizeof *codes; ++c) {
    siginfo_t info = info_of(codes[c]);
    info.si_errno = 3;
    info.si_signo = 5;
    char title[64];
    snprintf(title, sizeof title, "rt_sigqueueinfo code %d: %ld", codes[c],
             syscall(SYS_rt_sigqueueinfo, self, SIGUSR2, &info));
    shown(title);
    info = info_of(codes[c]);
    snprintf(title, sizeof title, "rt_tgsigqueueinfo code %d: %ld", codes[c],
             syscall(SYS_rt_tgsigqueueinfo, self, self, SIGUSR2, &info));
    shown(title);
    info = info_of(codes[c]);
    info.si_signo = SIGUSR2;
    int fd = (int)syscall(SYS_pidfd_open, self, 0);
    snprintf(title, sizeof title, "pidfd_send_signal code %d: %ld", codes[c],
             syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &info, 0));
    close(fd);
    shown(title);
  }
}

static void by_pidfd(void) {
  int own = (int)syscall(SYS_pidfd_open, self, 0);
  int of_child = (int)syscall(SYS_pidfd_open, child, 0);
  int of_zombie = (int)syscall(SYS_pidfd_open, zombie, 0);
  int of_thread = (int)syscall(SYS_pidfd_open, thread_id, O_EXCL);
  int file = open("/dev/null", O_RDONLY);
  int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
  int path = open("/proc/self", O_PATH | O_DIRECTORY);
  int stat = open("/proc/self/stat", O_RDONLY);
  T(syscall(SYS_pidfd_send_signal, own, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, of_child, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, of_zombie, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, of_zombie, SIGTERM, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, of_thread, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, of_thread, SIGUSR2, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, directory, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, path, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, stat, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, file, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, -1, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, 9999, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, -10000, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, -20000, 0, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, -10000, SIGUSR2, NONE, 0));
  shown("to the thread itself");
  T(syscall(SYS_pidfd_send_signal, -20000, SIGUSR2, NONE, 0));
  shown("to the process itself");
  T(syscall(SYS_pidfd_send_signal, -10001, 0, NONE, 0));
  for (unsigned flags = 0; flags < 17; ++flags) {
    T(syscall(SYS_pidfd_send_signal, own, 0, NONE, flags));
    T(syscall(SYS_pidfd_send_signal, of_thread, 0, NONE, flags));
  }
  T(syscall(SYS_pidfd_send_signal, own, SIGUSR2, NONE, 1));
  shown("of a thread");
  T(syscall(SYS_pidfd_send_signal, own, 0, NONE, 0x80000000));
  T(syscall(SYS_pidfd_send_signal, -1, 0, NONE, 0x80000000));
  T(syscall(SYS_pidfd_send_signal, own, 65, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, own, -1, NONE, 0));
  T(syscall(SYS_pidfd_send_signal, own, SIGUSR1, BAD, 0));
  T(syscall(SYS_pidfd_send_signal, file, SIGUSR1, BAD, 0));
  siginfo_t info = info_of(SI_QUEUE);
  T(syscall(SYS_pidfd_send_signal, own, SIGUSR1, &info, 0));
  info.si_signo = SIGUSR1;
  T(syscall(SYS_pidfd_send_signal, own, SIGUSR1, &info, 0));
  T(syscall(SYS_pidfd_send_signal, of_child, SIGUSR1, &info, 0));
  info.si_code = SI_USER;
  T(syscall(SYS_pidfd_send_signal, own, SIGUSR1, &info, 0));
  T(syscall(SYS_pidfd_send_signal, of_child, SIGUSR1, &info, 0));
  info.si_code = SI_TKILL;
  T(syscall(SYS_pidfd_send_signal, of_child, SIGUSR1, &info, 0));
  info.si_signo = 65;
  T(syscall(SYS_pidfd_send_signal, own, 65, &info, 0));
  for (int fd = own; fd <= stat; ++fd) {
    close(fd);
  }
}

static void waiting(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  struct timespec none = {0, 0}, bad = {0, -1}, big = {0, 1000000000}, negative = {-1, 0};
  siginfo_t info;
  while (sigtimedwait(&set, &info, &none) > 0) {
  }
  T(syscall(SYS_rt_sigtimedwait, &set, NONE, &none, 8));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 4));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 16));
  T(syscall(SYS_rt_sigtimedwait, BAD, &info, &none, 8));
  T(syscall(SYS_rt_sigtimedwait, BAD, &info, &none, 4));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, BAD, 8));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &bad, 8));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &big, 8));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &negative, 8));
  kill(self, SIGUSR1);
  T(syscall(SYS_rt_sigtimedwait, &set, BAD, &none, 8));
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8));
  kill(self, SIGUSR1);
  T(syscall(SYS_rt_sigtimedwait, &set, readable, &none, 8));
  kill(self, SIGUSR1);
  T(syscall(SYS_rt_sigtimedwait, &set, &info, NONE, 8));
  IS(info.si_pid, self);
  V(info.si_code);
  sigemptyset(&set);
  T(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8));
}

static void by_descriptor(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int file = open("/dev/null", O_RDONLY);
  T(syscall(SYS_signalfd4, file, &set, 8, 0));
  T(syscall(SYS_signalfd4, 9999, &set, 8, 0));
  T(syscall(SYS_signalfd4, -2, &set, 8, 0));
  T(syscall(SYS_signalfd4, -1, &set, 4, 0));
  T(syscall(SYS_signalfd4, -1, BAD, 8, 0));
  T(syscall(SYS_signalfd4, -1, &set, 8, 1));
  T(syscall(SYS_signalfd, file, &set, 8));
  int fd = (int)syscall(SYS_signalfd4, -1, &set, 8, SFD_NONBLOCK | SFD_CLOEXEC);
  V(fcntl(fd, F_GETFD));
  V(fcntl(fd, F_GETFL));
  struct signalfd_siginfo records[3];
  T(read(fd, records, sizeof records));
  T(read(fd, records, 10));
  T(read(fd, BAD, sizeof records));
  T(write(fd, records, sizeof records));
  T(lseek(fd, 0, SEEK_SET));
  kill(self, SIGUSR1);
  T(read(fd, BAD, sizeof records));
  kill(self, SIGUSR1);
  T(read(fd, readable, sizeof records));
  kill(self, SIGUSR1);
  T(read(fd, records, sizeof records));
  V(records[0].ssi_signo);
  V(records[0].ssi_code);
  IS(records[0].ssi_pid, self);
  IS(records[0].ssi_uid, getuid());
  sigaddset(&set, SIGUSR2);
  IS(syscall(SYS_signalfd4, fd, &set, 8, 0), fd);
  int copy = dup(fd);
  kill(self, SIGUSR1);
  T(read(copy, records, sizeof records));
  IS(records[0].ssi_pid, self);
  T(pread(fd, records, sizeof records, 0));
  close(copy);
  close(fd);
  close(file);
}

int main(void) {
  transcript_begin();
  self = getpid();
  (void)!pipe(go);
  (void)!pipe(up);
  signal(SIGUSR1, SIG_IGN);
  setpgid(0, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, run, NULL);
  for (int n = 1; n < 65; ++n) {
    if (n != SIGALRM && n != SIGKILL && n != SIGSTOP && n != SIGCHLD) {
      // By the raw call: the C library keeps 32 and 33 for itself.
      struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
      } ignore = {SIG_IGN, 0, NULL, 0};
      syscall(SYS_rt_sigaction, n, &ignore, NULL, 8);
    }
  }
  char ready;
  (void)!read(up[0], &ready, 1);
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
  plain();
  bad_memory();
  what_arrives();
  by_pidfd();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  signal(SIGUSR1, SIG_DFL);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  waiting();
  by_descriptor();
  kill(child, SIGKILL);
  return 0;
}
