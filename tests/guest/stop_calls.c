// Stopping and continuing a process that hammers calls and blocks in others: none fails with EINTR, none is lost.
#include "guest.h"

static struct gate ping, pong;

static void* worker(void* unused) {
  // The gates here do not retry: an EINTR that is not native would show.
  for (;;) {
    long value;
    CHECK_EQ(read(ping.fd[0], &value, sizeof value), sizeof value);
    CHECK_EQ(write(pong.fd[1], &value, sizeof value), sizeof value);
    if (value < 0) {
      return unused;
    }
  }
}

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    ping = gate_make();
    pong = gate_make();
    pthread_t thread = guest_thread(worker, NULL);
    gate_open(&up);
    write_file("file", "x", 0600);
    for (long i = 0; i < 300; ++i) {
      struct stat status;
      SYS(stat("file", &status));
      SYS(close(SYS(open("file", O_RDONLY))));
      SYS(kill(getpid(), 0));
      CHECK(getppid() > 0);
      long value = i;
      CHECK_EQ(write(ping.fd[1], &value, sizeof value), sizeof value);
      CHECK_EQ(read(pong.fd[0], &value, sizeof value), sizeof value);
      CHECK_EQ(value, i);
      struct timespec brief = {0, 100000};
      CHECK_EQ(nanosleep(&brief, NULL), 0);
      if (i % 20 == 0) {
        pid_t grandchild = guest_fork();
        if (grandchild == 0) {
          _exit(1);
        }
        int got;
        CHECK_EQ(waitpid(grandchild, &got, 0), grandchild);
        CHECK_EQ(got, 0x100);
      }
    }
    long last = -1;
    CHECK_EQ(write(ping.fd[1], &last, sizeof last), sizeof last);
    guest_join(thread);
    _exit(15);
  }
  gate_wait(&up);
  int status;
  for (;;) {
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    if (!WIFSTOPPED(status)) {
      break;
    }
    SYS(kill(child, SIGCONT));
    CHECK_EQ(waitpid(child, &status, WCONTINUED | WUNTRACED), child);
    if (!WIFCONTINUED(status)) {
      break;
    }
  }
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 15);
  return guest_pass();
}
