/* beam-init: PID 1 of a sandbox whose COMMAND is no init itself.
 *
 *   beam-init [--foreground] -- PATH ARGV0 [ARG...]
 *
 * Starts COMMAND in a process group of its own, reports its pid or why it can't be executed (init_protocol.h), reaps
 * orphans, passes signals on, keeps the terminal's foreground group right when COMMAND stops, and ends as COMMAND
 * ended. All signals stay blocked and are taken by sigwaitinfo(2): there is no handler, and so COMMAND inherits the
 * dispositions and the mask that this program was started with. */
#define _GNU_SOURCE
#include "runtime/init_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void report(int32_t kind, int32_t value) {
  const struct InitReport message = {kind, value};
  /* Less than PIPE_BUF: written as a whole. A supervisor that has gone needs no report. */
  if (write(kInitReportFd, &message, sizeof message) < 0) {
    return;
  }
}

/* True when the file's first line holds no zero byte: the rule by which shells take a file without #! for a script. */
static bool looks_like_shell_script(const char* path) {
  char head[128];
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd >= 0 ? read(fd, head, sizeof head) : -1;
  if (fd >= 0) {
    close(fd);
  }
  if (got < 0) {
    return false;
  }
  const char* end = memchr(head, '\n', (size_t)got);
  return memchr(head, 0, end != NULL ? (size_t)(end - head) : (size_t)got) == NULL;
}

static void execute(const char* path, char** argv) {
  execve(path, argv, environ);
  if (errno != ENOEXEC) {
    return;
  }
  if (!looks_like_shell_script(path)) {
    errno = ENOEXEC;
    return;
  }
  size_t count = 0;
  while (argv[count] != NULL) {
    ++count;
  }
  char** shell = calloc(count + 2, sizeof *shell);
  if (shell == NULL) {
    return;
  }
  shell[0] = "sh";
  shell[1] = (char*)path;
  for (size_t i = 1; i < count; ++i) {
    shell[i + 1] = argv[i];
  }
  execve("/bin/sh", shell, environ);
}

/* The first of the streams that is a terminal, made the controlling one of this session; -1 when none is. */
static int take_terminal(void) {
  for (int fd = 0; fd < 3; ++fd) {
    if (isatty(fd)) {
      /* Fails harmlessly when it is the controlling terminal already. */
      ioctl(fd, TIOCSCTTY, 0);
      if (tcgetsid(fd) == getsid(0)) {
        return fd;
      }
    }
  }
  return -1;
}

static _Noreturn void end_like(int status) {
  if (WIFEXITED(status)) {
    _exit(WEXITSTATUS(status));
  }
  /* COMMAND has dumped its core if it was to; this copy must not replace it. */
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const int signal_number = WTERMSIG(status);
  signal(signal_number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal_number);
  kill(getpid(), signal_number);
  sigprocmask(SIG_UNBLOCK, &only, NULL);
  _exit(128 + signal_number);
}

/* Takes the news of all children. Ends this program when COMMAND has ended. */
static void reap(pid_t command, int terminal) {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
    if (pid != command) {
      continue;
    }
    if (!WIFSTOPPED(status)) {
      end_like(status);
    }
    if (terminal < 0) {
      continue;
    }
    const int stop = WSTOPSIG(status);
    if (stop == SIGTTIN || stop == SIGTTOU) {
      /* It was started in the background and asks for the terminal: it gets it, and the supervisor, which sees the stop
       * as well, begins to pass the user's input on. */
      tcsetpgrp(terminal, command);
      kill(-command, SIGCONT);
    } else {
      /* As a shell does; SIGCONT to this program brings COMMAND back into the foreground. */
      tcsetpgrp(terminal, getpgrp());
    }
  }
}

int main(int argc, char** argv) {
  bool foreground = false;
  int at = 1;
  for (; at < argc && strcmp(argv[at], "--") != 0; ++at) {
    foreground = foreground || strcmp(argv[at], "--foreground") == 0;
  }
  ++at;
  if (at + 1 >= argc || fcntl(kInitReportFd, F_SETFD, FD_CLOEXEC) != 0) {
    return 125;
  }
  sigset_t all;
  sigset_t inherited_mask;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &inherited_mask);
  struct sigaction inherited_child;
  const struct sigaction standard = {.sa_handler = SIG_DFL};
  /* An ignored SIGCHLD, which exec hands down, would make the kernel reap COMMAND itself. */
  sigaction(SIGCHLD, &standard, &inherited_child);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const int terminal = take_terminal();

  const pid_t command = fork();
  if (command < 0) {
    report(kInitReportFault, errno);
    return 125;
  }
  if (command == 0) {
    setpgid(0, 0);
    if (terminal >= 0 && foreground) {
      tcsetpgrp(terminal, getpid());
    }
    sigaction(SIGCHLD, &inherited_child, NULL);
    sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
    execute(argv[at], argv + at + 1);
    report(kInitReportFault, errno);
    _exit(errno == ENOENT ? 127 : 126);
  }
  setpgid(command, command);
  report(kInitReportPid, command);
  close(kInitReportFd);
  /* The other end of a stream has to see its end when COMMAND closes it, not when this program ends. */
  for (int fd = 0; fd < 3; ++fd) {
    if (fd != terminal) {
      close(fd);
    }
  }
  for (;;) {
    siginfo_t info;
    const int received = sigwaitinfo(&all, &info);
    if (received < 0 || received == SIGTTIN || received == SIGTTOU) {
      continue;
    }
    if (received == SIGCHLD) {
      reap(command, terminal);
    } else if (received == SIGCONT && terminal >= 0) {
      tcsetpgrp(terminal, command);
      kill(-command, SIGCONT);
    } else {
      kill(terminal >= 0 ? -command : command, received);
    }
  }
}
