// The inner loops of the benchmark: `loops ROW COUNT [ARGUMENT...]` does COUNT operations and prints the nanoseconds
// that one took, by the clock of the process itself, so that neither its own start nor that of a tracer is in the
// figure. Static, so that ld.so's work for each exec is not measured where the exec is.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kBlock = 4096, kBlocks = 256 };

static void die(const char* what) {
  fprintf(stderr, "loops: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void do_getpid(long count) {
  for (long i = 0; i < count; i++) {
    syscall(SYS_getpid);
  }
}

static void do_open(long count) {
  for (long i = 0; i < count; i++) {
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      die("/etc/passwd");
    }
    close(fd);
  }
}

static void do_stat(long count) {
  struct stat info;
  for (long i = 0; i < count; i++) {
    if (stat("/etc/passwd", &info) != 0) {
      die("/etc/passwd");
    }
  }
}

// Reads a file of kBlocks blocks over and over; the rewinding is one call in kBlocks.
static void do_read(long count) {
  char buffer[kBlock];
  char name[] = "/tmp/beam-bench-XXXXXX";
  int fd = mkstemp(name);
  if (fd < 0) {
    die(name);
  }
  unlink(name);
  memset(buffer, 'x', sizeof buffer);
  for (int i = 0; i < kBlocks; i++) {
    if (write(fd, buffer, sizeof buffer) != kBlock) {
      die("write");
    }
  }
  for (long i = 0; i < count; i++) {
    if (i % kBlocks == 0 && lseek(fd, 0, SEEK_SET) != 0) {
      die("lseek");
    }
    if (read(fd, buffer, sizeof buffer) != kBlock) {
      die("read");
    }
  }
  close(fd);
}

static void do_pingpong(long count) {
  int there[2], back[2];
  char byte = 0;
  if (pipe(there) != 0 || pipe(back) != 0) {
    die("pipe");
  }
  pid_t child = fork();
  if (child < 0) {
    die("fork");
  }
  if (child == 0) {
    close(there[1]);
    while (read(there[0], &byte, 1) == 1) {
      if (write(back[1], &byte, 1) != 1) {
        _exit(1);
      }
    }
    _exit(0);
  }
  for (long i = 0; i < count; i++) {
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
      die("pipe");
    }
  }
  close(there[1]);
  waitpid(child, NULL, 0);
}

static volatile sig_atomic_t handled;

static void handler(int signal) {
  (void)signal;
  handled++;
}

static void do_signal(long count) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGUSR1, &action, NULL);
  pid_t self = getpid();
  for (long i = 0; i < count; i++) {
    kill(self, SIGUSR1);
  }
  if (handled != count) {
    fprintf(stderr, "loops: %ld signals sent, %ld handled\n", count, (long)handled);
    exit(1);
  }
}

// One operation is a thousand rounds of a hash over 32 KiB.
static void do_compute(long count) {
  static uint64_t table[4096];
  uint64_t hash = 1;
  for (long i = 0; i < count; i++) {
    for (int j = 0; j < 1000; j++) {
      uint64_t* slot = &table[hash >> 52];
      hash = (hash ^ (*slot += (uint64_t)j)) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 29;
    }
  }
  // Keeps the compiler from dropping it all.
  if (hash == 42) {
    puts("42");
  }
}

static char** command;

static void do_exec(long count) {
  for (long i = 0; i < count; i++) {
    pid_t child = fork();
    if (child < 0) {
      die("fork");
    }
    if (child == 0) {
      execv(command[0], command);
      _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) {
      fprintf(stderr, "loops: %s ended with wait status %#x\n", command[0], (unsigned)status);
      exit(1);
    }
  }
}

// Prints READY once COUNT children sleep, and ends with its standard input.
static int sleepers(long count) {
  for (long i = 0; i < count; i++) {
    pid_t child = fork();
    if (child < 0) {
      die("fork");
    }
    if (child == 0) {
      for (;;) {
        pause();
      }
    }
  }
  printf("READY\n");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  signal(SIGTERM, SIG_IGN);
  kill(0, SIGTERM);
  while (wait(NULL) > 0) {
  }
  return 0;
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(long);
  } kRows[] = {{"getpid", do_getpid},     {"open", do_open},     {"stat", do_stat},       {"read", do_read},
               {"pingpong", do_pingpong}, {"signal", do_signal}, {"compute", do_compute}, {"exec", do_exec}};
  long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
  if (count < 0 || argc < 3) {
    fprintf(stderr, "usage: loops ROW COUNT [COMMAND...]\n");
    return 2;
  }
  if (strcmp(argv[1], "sleepers") == 0) {
    return sleepers(count);
  }
  static char* nothing[] = {(char*)"/bin/true", NULL};
  command = argc > 3 ? argv + 3 : nothing;
  for (size_t i = 0; i < sizeof kRows / sizeof kRows[0]; i++) {
    if (strcmp(argv[1], kRows[i].name) == 0) {
      uint64_t start = now();
      kRows[i].run(count);
      printf("%.1f\n", (double)(now() - start) / (double)(count > 0 ? count : 1));
      return 0;
    }
  }
  fprintf(stderr, "loops: no row %s\n", argv[1]);
  return 2;
}
