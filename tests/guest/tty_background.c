// Background groups: reading stops with SIGTTIN, writing with TOSTOP and tcsetattr with SIGTTOU; ignored, it is EIO or
// goes through; brought to the foreground and continued, the read gets its line.
#include "tty.h"

int main(void) {
  guest_begin();
  char slave[64];
  int master = tty_open(slave, sizeof slave);
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tty_lead(slave);
    struct termios settings;
    SYS(tcgetattr(fd, &settings));
    settings.c_lflag |= TOSTOP;
    settings.c_lflag &= ~(tcflag_t)ECHO;
    SYS(tcsetattr(fd, TCSANOW, &settings));
    int status;
    for (int way = 0; way < 3; ++way) {
      pid_t member = guest_fork();
      if (member == 0) {
        SYS(setpgid(0, 0));
        char line[32] = "";
        if (way == 0) {
          ssize_t got = SYS(read(fd, line, sizeof line));
          CHECK_EQ(got, 6);
          CHECK_STR(line, "hello\n");
        } else if (way == 1) {
          CHECK_EQ(write(fd, "x", 1), 1);
        } else {
          SYS(tcsetattr(fd, TCSANOW, &settings));
        }
        _exit(0);
      }
      CHECK_EQ(waitpid(member, &status, WUNTRACED), member);
      CHECK(WIFSTOPPED(status));
      CHECK_EQ(WSTOPSIG(status), way == 0 ? SIGTTIN : SIGTTOU);
      SYS(tcsetpgrp(fd, member));
      if (way == 0) {
        CHECK_EQ(write(master, "hello\n", 6), 6);
      }
      SYS(kill(-member, SIGCONT));
      CHECK_EQ(waitpid(member, &status, WCONTINUED), member);
      if (!WIFCONTINUED(status)) {
        CHECK_EQ(status, 0);
      } else {
        REAP(member);
      }
      signal(SIGTTOU, SIG_IGN);
      SYS(tcsetpgrp(fd, getpid()));
      signal(SIGTTOU, SIG_DFL);
    }
    // Ignored: a read fails, a write goes through.
    pid_t member = guest_fork();
    if (member == 0) {
      SYS(setpgid(0, 0));
      signal(SIGTTIN, SIG_IGN);
      signal(SIGTTOU, SIG_IGN);
      char byte;
      CHECK_ERRNO(read(fd, &byte, 1), EIO);
      CHECK_EQ(write(fd, "y", 1), 1);
      _exit(0);
    }
    REAP(member);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
