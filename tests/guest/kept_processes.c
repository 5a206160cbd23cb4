// What a process is beyond its memory and descriptors, across a freeze: attributes of prctl(2), limits, sessions whose
// leaders are gone, stopped children, zombies of threads, names that were changed, files of /proc held open of the
// living and the dead, wait statuses that nobody has asked for, threads with robust lists, floating point state.
#include <fenv.h>
#include <linux/securebits.h>
#include <math.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/utsname.h>

#include "case.h"

static void no_new_privileges(void) {
  SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  case_wait();
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  CHECK_EQ(status_field("/proc/self/status", "NoNewPrivs"), 1);
}

static void no_new_privileges_unset(void) {
  int before = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  case_wait();
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), before);
}

static void control(void) {
  SYS(prctl(PR_SET_NAME, "renamed )("));
  SYS(prctl(PR_SET_DUMPABLE, 0));
  SYS(prctl(PR_SET_TIMERSLACK, 12345));
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  SYS(prctl(PR_SET_KEEPCAPS, 1));
  SYS(prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
  SYS(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
  SYS(prctl(PR_SET_TSC, PR_TSC_ENABLE));
  SYS(personality(ADDR_NO_RANDOMIZE | UNAME26));
  umask(0345);
  case_wait();
  char name[16];
  SYS(prctl(PR_GET_NAME, name));
  CHECK_STR(name, "renamed )(");
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 12345);
  int subreaper = 0;
  SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
  CHECK_EQ(subreaper, 1);
  CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
  CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
  CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE | UNAME26);
  CHECK_EQ(umask(022), 0345);
}

static void speculation(void) {
  int before[2];
  prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0);
  before[0] = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
  before[1] = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
  int flush = prctl(64 /* PR_SET_IO_FLUSHER needs a privilege */, 0, 0, 0, 0);
  (void)flush;
  case_wait();
  CHECK_EQ(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0), before[0]);
  CHECK_EQ(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0), before[1]);
}

static void no_time_stamps(void) {
  SYS(prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
  case_wait();
  int state = 0;
  SYS(prctl(PR_GET_TSC, &state));
  CHECK_EQ(state, PR_TSC_SIGSEGV);
  SYS(prctl(PR_SET_TSC, PR_TSC_ENABLE));
}

static void limits(void) {
  struct rlimit set[RLIM_NLIMITS], got;
  for (int i = 0; i < RLIM_NLIMITS; ++i) {
    SYS(getrlimit((__rlimit_resource_t)i, &set[i]));
    if (i == RLIMIT_NOFILE || i == RLIMIT_CORE || i == RLIMIT_MSGQUEUE || i == RLIMIT_SIGPENDING || i == RLIMIT_STACK) {
      set[i].rlim_max = set[i].rlim_max == RLIM_INFINITY ? 1 << 26 : set[i].rlim_max - set[i].rlim_max / 4;
      set[i].rlim_cur = set[i].rlim_max / 2;
      SYS(setrlimit((__rlimit_resource_t)i, &set[i]));
    }
  }
  case_wait();
  for (int i = 0; i < RLIM_NLIMITS; ++i) {
    SYS(getrlimit((__rlimit_resource_t)i, &got));
    CHECK_EQ(got.rlim_cur, set[i].rlim_cur);
    CHECK_EQ(got.rlim_max, set[i].rlim_max);
  }
}

static void sessions(void) {
  // A session and a group whose leaders are gone, with members that live.
  struct gate told = gate_make(), go = gate_make();
  pid_t leader = guest_fork();
  if (leader == 0) {
    SYS(setsid());
    pid_t member = guest_fork();
    if (member == 0) {
      SYS(setpgid(0, 0));
      pid_t last = guest_fork();
      if (last == 0) {
        gate_send(&told, getpid());
        gate_wait(&go);
        gate_send(&told, getsid(0));
        gate_send(&told, getpgrp());
        _exit(0);
      }
      gate_send(&told, getpid());
      _exit(0);
    }
    guest_status(member);
    _exit(0);
  }
  long one = gate_receive(&told), two = gate_receive(&told);
  REAP(leader);
  case_wait();
  gate_open(&go);
  CHECK_EQ(gate_receive(&told), leader);
  long group = gate_receive(&told);
  CHECK(group == one || group == two);
  CHECK_NE(group, leader);
}

static void stopped(void) {
  pid_t stopped = guest_fork();
  if (stopped == 0) {
    raise(SIGSTOP);
    _exit(3);
  }
  pid_t quiet = guest_fork();
  if (quiet == 0) {
    raise(SIGTSTP);
    _exit(4);
  }
  int status;
  CHECK_EQ(SYS(waitpid(stopped, &status, WUNTRACED)), stopped);
  wait_state(quiet, quiet, "T");
  // A signal that waits for the end of the stop.
  SYS(kill(stopped, SIGUSR1));
  case_wait();
  CHECK_EQ(task_state(stopped, stopped), 'T');
  CHECK_EQ(SYS(waitpid(quiet, &status, WUNTRACED)), quiet);
  CHECK_EQ(WSTOPSIG(status), SIGTSTP);
  CHECK_EQ(waitpid(stopped, &status, WUNTRACED | WNOHANG), 0);
  SYS(kill(quiet, SIGCONT));
  REAP_CODE(quiet, 4);
  SYS(kill(stopped, SIGCONT));
  REAP_SIGNAL(stopped, SIGUSR1);
}

static void zombies(void) {
  pid_t pids[4];
  for (int i = 0; i < 4; ++i) {
    pids[i] = guest_fork();
    if (pids[i] == 0) {
      if (i == 3) {
        abort();
      }
      if (i == 2) {
        raise(SIGKILL);
      }
      _exit(i * 100 + 27);
    }
  }
  siginfo_t info;
  for (int i = 0; i < 4; ++i) {
    SYS(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT));
  }
  case_wait();
  for (int i = 0; i < 4; ++i) {
    CHECK_EQ(task_state(pids[i], pids[i]), 'Z');
  }
  REAP_CODE(pids[0], 27);
  REAP_CODE(pids[1], 127);
  REAP_SIGNAL(pids[2], SIGKILL);
  REAP_SIGNAL(pids[3], SIGABRT);
}

static void* leads_no_more(void* argument) {
  case_wait();
  pid_t tid = *(pid_t*)argument;
  CHECK_EQ(task_state(tid, tid), 'Z');
  CHECK_EQ(getpid(), tid);
  _exit(0);
}

static void dead_leader(void) {
  static pid_t pid;
  pid = getpid();
  guest_thread(leads_no_more, &pid);
  syscall(SYS_exit, 0);
}

static void parent_death(void) {
  struct gate told = gate_make();
  pid_t parent = guest_fork();
  if (parent == 0) {
    pid_t child = guest_fork();
    if (child == 0) {
      sigset_t set;
      sigemptyset(&set);
      sigaddset(&set, SIGUSR2);
      sigprocmask(SIG_BLOCK, &set, NULL);
      SYS(prctl(PR_SET_PDEATHSIG, SIGUSR2));
      gate_open(&told);
      siginfo_t info;
      CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGUSR2);
      gate_open(&told);
      _exit(0);
    }
    pause();
  }
  gate_wait(&told);
  case_wait();
  SYS(kill(parent, SIGKILL));
  REAP_SIGNAL(parent, SIGKILL);
  gate_wait(&told);
}

static void proc_files(void) {
  pid_t child = guest_fork();
  if (child == 0) {
    pause();
  }
  pid_t gone = guest_fork();
  if (gone == 0) {
    pause();
  }
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d", gone);
  int dead_directory = SYS(open(path, O_RDONLY | O_DIRECTORY));
  snprintf(path, sizeof path, "/proc/%d/stat", gone);
  int dead_stat = SYS(open(path, O_RDONLY));
  SYS(kill(gone, SIGKILL));
  REAP_SIGNAL(gone, SIGKILL);
  snprintf(path, sizeof path, "/proc/%d/status", child);
  int status = SYS(open(path, O_RDONLY));
  CHECK_EQ(read(status, text, 5), 5);
  snprintf(path, sizeof path, "/proc/%d/task/%d", child, child);
  int task = SYS(open(path, O_RDONLY | O_DIRECTORY));
  int self = SYS(open("/proc/self/cmdline", O_RDONLY)), maps = SYS(open("/proc/self/maps", O_RDONLY)), root = SYS(open("/proc", O_RDONLY));
  int own = SYS(open("/proc/self/fd", O_RDONLY | O_DIRECTORY)), limits = SYS(open("/proc/sys/kernel/pid_max", O_RDONLY));
  int memory = SYS(open("/proc/self/mem", O_RDWR));
  case_wait();
  CHECK_ERRNO(openat(dead_directory, "stat", O_RDONLY), ESRCH);
  SYS(fcntl(dead_stat, F_GETFD));
  CHECK(pread(status, text, sizeof text - 1, 0) > 0);
  CHECK_EQ(field_of(text, "Pid"), child);
  int opened = SYS(openat(task, "comm", O_RDONLY));
  CHECK(read(opened, text, 16) > 0);
  CHECK(read(self, text, 16) > 0);
  CHECK(read(maps, text, 100) > 0);
  int relative = SYS(openat(root, "self/comm", O_RDONLY));
  CHECK(read(relative, text, 16) > 0);
  CHECK(faccessat(own, "0", F_OK, 0) == 0);
  CHECK(read(limits, text, 16) > 0);
  volatile int here = 77;
  int there = 0;
  CHECK_EQ(pread(memory, &there, sizeof there, (off_t)(uintptr_t)&here), sizeof there);
  CHECK_EQ(there, 77);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
}

static void floating_point(void) {
  fesetround(FE_DOWNWARD);
  feenableexcept(FE_DIVBYZERO);
  unsigned mxcsr;
  unsigned short control;
  __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
  long double values[8], after[8];
  for (int i = 0; i < 8; ++i) {
    values[i] = sqrtl(2.0L + i);
  }
  __asm__ volatile("fldt %0; fldt %1; fldt %2" : : "m"(values[0]), "m"(values[1]), "m"(values[2]));
  double vector[4] = {1.5, 2.5, 3.5, 4.5}, got[4];
  __asm__ volatile("movupd %0, %%xmm7" : : "m"(vector) : "xmm7");
  sigset_t none;
  sigfillset(&none);
  sigdelset(&none, SIGTERM);
  sigdelset(&none, SIGALRM);
  CHECK_EQ(write(case_ready[1], "r", 1), 1);
  syscall(SYS_rt_sigsuspend, &none, 8);
  __asm__ volatile("movupd %%xmm7, %0" : "=m"(got));
  __asm__ volatile("fstpt %0; fstpt %1; fstpt %2" : "=m"(after[2]), "=m"(after[1]), "=m"(after[0]));
  for (int i = 0; i < 3; ++i) {
    CHECK(after[i] == values[i]);
  }
  unsigned mxcsr_after;
  unsigned short control_after;
  __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr_after), "=m"(control_after));
  CHECK_EQ(mxcsr_after & ~0x3fU, mxcsr & ~0x3fU);
  CHECK_EQ(control_after, control);
  CHECK_EQ(fegetround(), FE_DOWNWARD);
}

static void accounting(void) {
  struct rusage before, after;
  struct utsname name, later;
  SYS(uname(&name));
  pid_t child = guest_fork();
  if (child == 0) {
    for (volatile int i = 0; i < 50000000; ++i) {
    }
    _exit(0);
  }
  REAP(child);
  SYS(getrusage(RUSAGE_CHILDREN, &before));
  struct timespec started;
  SYS(clock_gettime(CLOCK_MONOTONIC, &started));
  case_wait();
  SYS(uname(&later));
  CHECK_EQ(memcmp(&name, &later, sizeof name), 0);
  SYS(getrusage(RUSAGE_CHILDREN, &after));
  struct timespec now;
  SYS(clock_gettime(CLOCK_MONOTONIC, &now));
  CHECK(now.tv_sec >= started.tv_sec && now.tv_sec < started.tv_sec + 90);
  (void)before;
}

static pthread_mutex_t robust;
static void* holds(void* argument) {
  PTHREAD(pthread_mutex_lock(&robust));
  gate_open(argument);
  case_wait();
  return NULL;  // dies with the mutex
}

static void robust_owner(void) {
  pthread_mutexattr_t kind;
  PTHREAD(pthread_mutexattr_init(&kind));
  PTHREAD(pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST));
  PTHREAD(pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT));
  PTHREAD(pthread_mutex_init(&robust, &kind));
  struct gate held = gate_make();
  pthread_t owner = guest_thread(holds, &held);
  gate_wait(&held);
  CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
  guest_join(owner);
}

static void orphans(void) {
  // Reaped by this subreaper after the freeze, children of a parent that died before it.
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  struct gate told = gate_make(), go = gate_make();
  pid_t parent = guest_fork();
  if (parent == 0) {
    pid_t child = guest_fork();
    if (child == 0) {
      gate_wait(&go);
      _exit(getppid() == 1 ? 1 : 42);
    }
    gate_send(&told, child);
    _exit(0);
  }
  pid_t child = (pid_t)gate_receive(&told);
  REAP(parent);
  case_wait();
  gate_open(&go);
  REAP_CODE(child, 42);
}

static void processor_timers(void) {
  struct itimerval profile = {{0, 0}, {3000, 5}}, virtual = {{7, 0}, {4000, 0}}, got;
  SYS(setitimer(ITIMER_PROF, &profile, NULL));
  SYS(setitimer(ITIMER_VIRTUAL, &virtual, NULL));
  case_wait();
  SYS(getitimer(ITIMER_PROF, &got));
  CHECK(got.it_value.tv_sec > 2900 && got.it_value.tv_sec <= 3000);
  SYS(getitimer(ITIMER_VIRTUAL, &got));
  CHECK(got.it_value.tv_sec > 3900 && got.it_value.tv_sec <= 4000);
  CHECK_EQ(got.it_interval.tv_sec, 7);
}

static void* timer_owner(void* argument) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
  event._sigev_un._tid = raw_gettid();
  SYS(timer_create(CLOCK_MONOTONIC, &event, argument));
  struct itimerspec time = {{0, 0}, {3600, 0}};
  SYS(timer_settime(*(timer_t*)argument, 0, &time, NULL));
  return NULL;
}

static void timer_of_dead_thread(void) {
  timer_t timer;
  guest_join(guest_thread(timer_owner, &timer));
  case_wait();
  struct itimerspec left;
  SYS(timer_gettime(timer, &left));
  CHECK(left.it_value.tv_sec > 3000);
  SYS(timer_delete(timer));
}

int main(void) {
  guest_begin();
  static const struct guest_case cases[] = {
      {"no_new_privileges", no_new_privileges}, {"no_new_privileges_unset", no_new_privileges_unset},
      {"control", control}, {"speculation", speculation}, {"no_time_stamps", no_time_stamps}, {"limits", limits},
      {"sessions", sessions}, {"stopped", stopped}, {"zombies", zombies}, {"dead_leader", dead_leader},
      {"parent_death", parent_death}, {"proc_files", proc_files}, {"floating_point", floating_point},
      {"accounting", accounting}, {"robust_owner", robust_owner}, {"orphans", orphans},
      {"processor_timers", processor_timers}, {"timer_of_dead_thread", timer_of_dead_thread},
  };
  return CASES(cases);
}
