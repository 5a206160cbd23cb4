// A zombie leader: main ends by pthread_exit, and another thread goes on to fork, wait, open, signal and ask for pids.
#include "guest.h"

static pid_t leader;
static volatile sig_atomic_t hits;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  CHECK_EQ(info->si_pid, leader);
  hits = hits + 1;
}

static void* survivor(void* unused) {
  (void)unused;
  wait_state(leader, leader, "Z");
  CHECK_EQ(raw_getpid(), leader);
  CHECK_NE(raw_gettid(), leader);
  char link[64] = "";
  SYS(readlink("/proc/self", link, sizeof link - 1));
  CHECK_EQ(atoi(link), leader);
  CHECK_EQ(status_field("/proc/thread-self/status", "Pid"), raw_gettid());
  CHECK_EQ(status_field("/proc/self/status", "Pid"), leader);

  for (int i = 0; i < 20; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      CHECK_EQ(getppid(), leader);
      _exit(i);
    }
    REAP_CODE(child, i);
  }
  pid_t child = guest_fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "exit 5", (char*)NULL);
    _exit(127);
  }
  REAP_CODE(child, 5);

  write_file("file", "content", 0600);
  char text[32];
  CHECK_EQ(read_file("file", text, sizeof text), 7);
  struct stat status;
  SYS(stat("file", &status));
  SYS(unlink("file"));

  // A signal to the process is handled by the thread that lives.
  guest_handle(SIGUSR1, handler, SA_RESTART);
  SYS(kill(leader, SIGUSR1));
  CHECK_EQ(hits, 1);
  SYS(syscall(SYS_tgkill, leader, raw_gettid(), SIGUSR1));
  CHECK_EQ(hits, 2);

  // New threads come and go as well.
  exit(guest_pass());
}

int main(void) {
  guest_begin();
  leader = getpid();
  guest_thread(survivor, NULL);
  pthread_exit(NULL);
}
