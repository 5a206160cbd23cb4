// A busy mix across freezes: processes with threads that fork, signal each other, pass checksummed work through pipes,
// files, shared memory and futexes, and sleep. Nothing is lost, doubled or changed.
#include <sys/file.h>
#include <sys/mman.h>

#include "guest.h"

enum { kWorkers = 3, kThreads = 3, kItems = 400 };

struct item {
  uint32_t number;
  uint64_t value;
  uint64_t check;
};

static uint64_t mix(uint64_t x) {
  for (int i = 0; i < 2000; ++i) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 29;
  }
  return x;
}

struct common {
  pthread_mutex_t mutex;
  uint32_t taken;
  uint64_t sum;
};
static struct common* common;
static int work[2], results[2];
static volatile sig_atomic_t pokes;
static void on_poke(int signal) {
  (void)signal;
  ++pokes;
}

static void whole(ssize_t (*call)(int, void*, size_t), int fd, void* data, size_t size) {
  ssize_t got;
  do {
    got = call(fd, data, size);
  } while (got < 0 && errno == EINTR);
  CHECK_EQ(got, size);
}
static ssize_t put(int fd, void* data, size_t size) {
  return write(fd, data, size);
}

static void* run(void* argument) {
  unsigned state = (unsigned)(uintptr_t)argument;
  for (;;) {
    struct item item;
    ssize_t got;
    do {
      got = read(work[0], &item, sizeof item);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
      return NULL;
    }
    CHECK_EQ(got, sizeof item);
    item.check = mix(item.value);
    switch (rand_r(&state) % 6) {
      case 0: {
        pid_t pid = guest_fork();
        if (pid == 0) {
          _exit((int)(mix(item.number) & 0x7f));
        }
        REAP_CODE(pid, mix(item.number) & 0x7f);
        break;
      }
      case 1: {
        char name[32], text[64], back[64];
        snprintf(name, sizeof name, "file.%u", item.number);
        snprintf(text, sizeof text, "%llu\n", (unsigned long long)item.check);
        write_file(name, text, 0600);
        CHECK(read_file(name, back, sizeof back) > 0);
        CHECK_STR(back, text);
        SYS(unlink(name));
        break;
      }
      case 2: {
        struct timespec pause = {0, 300000};
        uint64_t before = now_ns();
        CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL) & ~EINTR, 0);
        CHECK(now_ns() >= before);
        break;
      }
      case 3:
        SYS(kill(getpid(), SIGUSR1));
        break;
      case 4: {
        char* page = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(page, (int)item.number, 8 * 4096);
        sched_yield();
        for (int i = 0; i < 8 * 4096; i += 512) {
          CHECK_EQ((unsigned char)page[i], item.number & 0xff);
        }
        SYS(munmap(page, 8 * 4096));
        break;
      }
      default:
        break;
    }
    PTHREAD(pthread_mutex_lock(&common->mutex));
    ++common->taken;
    common->sum += item.check;
    PTHREAD(pthread_mutex_unlock(&common->mutex));
    whole(put, results[1], &item, sizeof item);
  }
}

int main(void) {
  guest_begin();
  common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t attributes;
  PTHREAD(pthread_mutexattr_init(&attributes));
  PTHREAD(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  PTHREAD(pthread_mutex_init(&common->mutex, &attributes));
  SYS(pipe(work));
  SYS(pipe(results));
  struct sigaction action = {.sa_handler = on_poke, .sa_flags = SA_RESTART};
  SYS(sigaction(SIGUSR1, &action, NULL));
  pid_t workers[kWorkers];
  for (int i = 0; i < kWorkers; ++i) {
    workers[i] = guest_fork();
    if (workers[i] == 0) {
      close(work[1]);
      pthread_t threads[kThreads];
      for (int k = 0; k < kThreads; ++k) {
        threads[k] = guest_thread(run, (void*)(uintptr_t)(i * 17 + k + 1));
      }
      for (int k = 0; k < kThreads; ++k) {
        guest_join(threads[k]);
      }
      _exit(0);
    }
  }
  static bool seen[kItems];
  uint64_t sum = 0;
  int sent = 0, received = 0;
  while (received < kItems) {
    if (sent < kItems && sent - received < 20) {
      struct item item = {.number = (uint32_t)sent, .value = mix((uint64_t)sent * 77 + 1)};
      whole(put, work[1], &item, sizeof item);
      if (++sent % 100 == 0) {
        guest_fence();
      }
      continue;
    }
    struct item item;
    whole(read, results[0], &item, sizeof item);
    CHECK(item.number < kItems && !seen[item.number]);
    seen[item.number] = true;
    CHECK_EQ(item.check, mix(mix((uint64_t)item.number * 77 + 1)));
    sum += item.check;
    ++received;
  }
  close(work[1]);
  for (int i = 0; i < kWorkers; ++i) {
    REAP(workers[i]);
  }
  CHECK_EQ(common->taken, kItems);
  CHECK_EQ(common->sum, sum);
  return guest_pass();
}
