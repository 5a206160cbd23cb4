// A vfork in progress across a freeze: the parent goes on waiting, gets the child's id, and finds what the child has
// written to their memory; by vfork(2), clone(2) and posix_spawn(3).
#include <spawn.h>

#include "guest.h"

static char stack[65536] __attribute__((aligned(16)));
static volatile int written;
static struct gate ready, go;

static int in_child(void* argument) {
  written = 1;
  gate_send(&ready, getpid());
  gate_wait(&go);
  written = 2;
  _exit((int)(intptr_t)argument);
}

static volatile pid_t made;
static void* by_vfork(void* argument) {
  (void)argument;
  pid_t pid = vfork();
  if (pid == 0) {
    in_child((void*)33);
  }
  made = pid;
  return NULL;
}
static void* by_clone(void* argument) {
  (void)argument;
  made = SYS(clone(in_child, stack + sizeof stack, CLONE_VFORK | CLONE_VM | SIGCHLD, (void*)33));
  return NULL;
}
static void* by_clone_copy(void* argument) {
  (void)argument;
  made = SYS(clone(in_child, stack + sizeof stack, CLONE_VFORK | SIGCHLD, (void*)33));
  return NULL;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc > 1) {
    CHECK_STR(argv[1], "again");
    return 44;
  }
  ready = gate_make();
  go = gate_make();
  void* (*const ways[])(void*) = {by_vfork, by_clone, by_clone_copy};
  for (int way = 0; way < 3; ++way) {
    made = 0;
    written = 0;
    pthread_t thread = guest_thread(ways[way], NULL);
    pid_t child = (pid_t)gate_receive(&ready);
    guest_fence();
    CHECK_EQ(made, 0);
    CHECK_EQ(written, way == 2 ? 0 : 1);
    guest_fence();
    gate_open(&go);
    guest_join(thread);
    CHECK_EQ(made, child);
    CHECK_EQ(written, way == 2 ? 0 : 2);
    guest_fence();
    REAP_CODE(child, 33);
  }
  for (int i = 0; i < 20; ++i) {
    pid_t pid;
    char* arguments[] = {argv[0], "again", NULL};
    CHECK_EQ(posix_spawn(&pid, argv[0], NULL, NULL, arguments, environ), 0);
    REAP_CODE(pid, 44);
  }
  return guest_pass();
}
