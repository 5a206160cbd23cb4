"""Binaries without ld.so: glibc's static ones, musl's static and dynamic ones."""

import os
import subprocess
import sys

from harness import Suite, script

SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static pthread_barrier_t barrier;
static volatile sig_atomic_t sender, count;

static void handler(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  sender = info->si_pid;
  count++;
}

static void *thread(void *argument) {
  // Every thread has a tid of its own that /proc knows too, and the process' pid.
  long tid = syscall(SYS_gettid);
  *(long *)argument = tid;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task/%ld/stat", getpid(), tid);
  int good = access(path, R_OK) == 0;
  pthread_barrier_wait(&barrier);
  return (void *)(long)good;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc > 1) {
    printf("exec'd as %s, parent %s\n", argv[1], atoi(argv[2]) == getppid() ? "agrees" : "differs");
    return 12;
  }
  char link[32] = {0};
  if (readlink("/proc/self", link, sizeof link - 1) < 0 || atoi(link) != getpid()) {
    printf("/proc/self is %s, getpid %d\n", link, getpid());
  }
  long tids[16];
  pthread_t threads[16];
  pthread_barrier_init(&barrier, NULL, 17);
  for (int i = 0; i < 16; i++) {
    pthread_create(&threads[i], NULL, thread, &tids[i]);
  }
  pthread_barrier_wait(&barrier);
  int good = 0, distinct = 1;
  for (int i = 0; i < 16; i++) {
    void *result;
    pthread_join(threads[i], &result);
    good += result != NULL;
    for (int j = 0; j < i; j++) {
      distinct &= tids[i] != tids[j];
    }
  }
  printf("threads in /proc %d, distinct %d\n", good, distinct);

  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  sigset_t blocked, old;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, &old);
  int right = 0;
  for (int i = 0; i < 50; i++) {
    pid_t child = fork();
    if (child == 0) {
      _exit(kill(getppid(), SIGUSR1) == 0 ? i : 99);
    }
    while (count <= i) {
      sigsuspend(&old);
    }
    int status;
    right += sender == child && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == i;
  }
  printf("children right %d\n", right);
  char pid[16];
  snprintf(pid, sizeof pid, "%d", getpid());
  char *arguments[] = {argv[0], (char *)"spawned", pid, NULL};
  pid_t child;
  int status, error = posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ);
  if (error != 0) {
    printf("posix_spawn: %s\n", strerror(error));
  } else {
    waitpid(child, &status, 0);
    printf("spawned status %d\n", WEXITSTATUS(status));
  }
  if ((child = vfork()) == 0) {
    execv(argv[0], arguments);
    _exit(1);
  }
  waitpid(child, &status, 0);
  printf("vforked status %d\n", WEXITSTATUS(status));
  siginfo_t info;
  sigset_t wait;
  sigemptyset(&wait);
  sigaddset(&wait, SIGUSR2);
  sigprocmask(SIG_BLOCK, &wait, NULL);
  kill(getpid(), SIGUSR2);
  int signal = sigwaitinfo(&wait, &info);
  printf("sigwaitinfo %d from %s\n", signal == SIGUSR2, info.si_pid == getpid() ? "me" : "another");
  system("echo shell $((1 + 1))");
  printf("kill 999999: %s\n", kill(999999, 0) ? strerror(errno) : "there");
  abort();
}
"""


def prepare(directory):
    source = os.path.join(directory, "probe.c")
    with open(source, "w") as file:
        file.write(SOURCE)
    for compiler, options, name in (("gcc", ["-static"], "glibc-static"), ("gcc", ["-static-pie"], "glibc-static-pie"),
                                    ("musl-gcc", ["-static"], "musl-static"), ("musl-gcc", [], "musl-dynamic")):
        subprocess.run([compiler, *options, "-pthread", "-O1", "-w", "-o", os.path.join(directory, name), source],
                       check=True, capture_output=True)


suite = Suite("static binaries").needs("gcc", "gcc").needs("musl-tools", "musl-gcc").needs("busybox-static", "busybox")
suite.add(script("probes", r"""
ulimit -c 0
for binary in glibc-static glibc-static-pie musl-static musl-dynamic; do echo "== $binary"; ./$binary; echo $?; done
""", prepare=prepare)).vary(r"^Aborted\n", "", because="dash prints it after the next command's output or before it")
suite.add(script("busybox", r"""
exec 2>&1
busybox sh -c 'echo $(busybox id -u | busybox wc -l); busybox sleep 1000 & kill $!; wait $!; echo $?; [ "$(busybox readlink /proc/self)" != $$ ] && echo other; busybox ps -o pid,comm | busybox grep -c "busybox\|ps"; exit 6' > out; echo $?; grep -v '^[0-9]*$' out; rm out
busybox seq 5 | busybox xargs -n 1 busybox echo; busybox tar -cf - scenario.sh | busybox tar -tf -; busybox awk 'BEGIN { print 6 * 7 }'; busybox timeout 0.05 busybox sleep 100; echo $?
""")).vary(r"^Terminated\n", "", because="its shell tells of a signalled job whenever it happens to reap it")
sys.exit(suite.main())
