// pthread_cancel: the C library checks that the signal came from its own pid by tgkill.
#include "guest.h"

static struct gate ready;
static volatile int cleaned;

static void cleanup(void* unused) {
  (void)unused;
  __atomic_add_fetch(&cleaned, 1, __ATOMIC_RELAXED);
}

static void* run(void* argument) {
  pthread_cleanup_push(cleanup, NULL);
  gate_open(&ready);
  switch ((intptr_t)argument % 4) {
    case 0:
      for (;;) {
        pause();
      }
    case 1:
      waitpid(-1, NULL, 0);
      break;
    case 2:
      for (;;) {
        close(open("/dev/null", O_RDONLY));
      }
    default:
      PTHREAD(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
      for (;;) {
      }
  }
  pthread_cleanup_pop(1);
  return NULL;
}

int main(void) {
  guest_begin();
  ready = gate_make();
  struct gate down = gate_make();
  // Somebody to wait for.
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  enum { kThreads = 40 };
  for (intptr_t i = 0; i < kThreads; ++i) {
    pthread_t thread = guest_thread(run, (void*)i);
    gate_wait(&ready);
    PTHREAD(pthread_cancel(thread));
    void* result;
    PTHREAD(pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
  }
  CHECK_EQ(cleaned, kThreads);
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
