// O_ASYNC: SIGIO reaches the owner that was set, a process, a thread or a group; F_SETSIG adds fd and band.
#include <sys/socket.h>

#include "guest.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)context;
  if (signal != SIGIO) {
    CHECK_EQ(info->si_code, POLL_IN);
    CHECK(info->si_band & POLLIN);
    CHECK(info->si_fd >= 3);
  }
  gate_send(&hit, raw_gettid());
}

static struct gate up, done;

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&done);
  return unused;
}

int main(void) {
  guest_begin();
  hit = gate_make();
  up = gate_make();
  done = gate_make();
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  guest_handle(SIGIO, handler, SA_RESTART);
  guest_handle(SIGRTMIN + 1, handler, SA_RESTART);
  SYS(fcntl(pair[0], F_SETFL, O_ASYNC | O_NONBLOCK));

  SYS(fcntl(pair[0], F_SETOWN, getpid()));
  CHECK_EQ(write(pair[1], "a", 1), 1);
  CHECK_EQ(gate_receive(&hit), getpid());

  SYS(fcntl(pair[0], F_SETSIG, SIGRTMIN + 1));
  CHECK_EQ(fcntl(pair[0], F_GETSIG), SIGRTMIN + 1);
  CHECK_EQ(write(pair[1], "b", 1), 1);
  CHECK_EQ(gate_receive(&hit), getpid());

  pthread_t thread = guest_thread(run, NULL);
  struct f_owner_ex owner = {F_OWNER_TID, (pid_t)gate_receive(&up)};
  SYS(fcntl(pair[0], F_SETOWN_EX, &owner));
  CHECK_EQ(write(pair[1], "c", 1), 1);
  CHECK_EQ(gate_receive(&hit), owner.pid);
  gate_open(&done);
  guest_join(thread);

  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setpgid(0, 0));
    gate_open(&up);
    for (;;) {
      pause();
    }
  }
  gate_wait(&up);
  SYS(fcntl(pair[0], F_SETOWN, child));
  CHECK_EQ(write(pair[1], "d", 1), 1);
  CHECK_EQ(gate_receive(&hit), child);
  SYS(fcntl(pair[0], F_SETOWN, -child));
  CHECK_EQ(write(pair[1], "e", 1), 1);
  CHECK_EQ(gate_receive(&hit), child);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  return guest_pass();
}
