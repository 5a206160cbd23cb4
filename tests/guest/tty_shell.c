// An interactive shell on a terminal: job control messages, ^Z, jobs, fg, ^C and exit, as typed by a user.
#include "tty.h"

static int master;
static char output[65536];
static size_t used;

// Reads what the terminal shows until it holds this text after what was matched before.
static void expect(const char* text) {
  static size_t matched;
  for (;;) {
    char* found = strstr(output + matched, text);
    if (found) {
      matched = (size_t)(found - output) + strlen(text);
      return;
    }
    ssize_t got = read(master, output + used, sizeof output - 1 - used);
    if (got <= 0) {
      FAIL("terminal ended while waiting for \"%s\"; it showed: %s", text, output + matched);
    }
    used += (size_t)got;
    output[used] = '\0';
  }
}

static void type(const char* text) {
  CHECK_EQ(write(master, text, strlen(text)), strlen(text));
}

int main(void) {
  guest_begin();
  char slave[64];
  master = tty_open(slave, sizeof slave);
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tty_lead(slave);
    for (int i = 0; i < 3; ++i) {
      SYS(dup2(fd, i));
    }
    setenv("PS1", "ready> ", 1);
    setenv("TERM", "dumb", 1);
    execl("/bin/bash", "bash", "--norc", "--noprofile", "--noediting", "-i", (char*)NULL);
    _exit(127);
  }
  expect("ready> ");
  char line[64], answer[64];
  type("echo pid=$$ ppid=$PPID.\n");
  snprintf(answer, sizeof answer, "\npid=%d ppid=%d.", child, getpid());
  // The terminal turns a newline into carriage return and newline.
  expect(answer);
  expect("ready> ");
  pid_t foreground = 0;
  SYS(ioctl(master, TIOCGPGRP, &foreground));
  CHECK_EQ(foreground, child);

  type("cat\n");
  type("echoed\n");
  expect("echoed\r\nechoed");
  SYS(ioctl(master, TIOCGPGRP, &foreground));
  CHECK_NE(foreground, child);
  CHECK_EQ(getpgid(foreground), foreground);
  type("\032");
  expect("Stopped");
  expect("ready> ");
  type("jobs -p; echo end\n");
  snprintf(line, sizeof line, "\n%d\r\nend", foreground);
  expect(line);
  expect("ready> ");
  type("fg\n");
  expect("cat");
  type("again\n");
  expect("again\r\nagain");
  type("\003");
  expect("ready> ");
  type("echo status=$?.\n");
  expect("\nstatus=130.");
  expect("ready> ");
  type("sh -c 'exit 7' & wait $!; echo waited=$?.\n");
  expect("\nwaited=7.");
  type("exit 9\n");
  REAP_CODE(child, 9);
  return guest_pass();
}
