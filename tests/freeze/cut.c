// Whether the memory that a snapshot was made of is of one moment: passes over many pages write the number of the pass
// into each, in order, so that at any moment the pages up to some place have this pass's number and all others the last
// one's. On SIGUSR1 it looks whether they have, prints CONSISTENT or what it found, and ends. A part of the memory is
// left out of, or zeroed in, forked processes (MADV_DONTFORK, MADV_WIPEONFORK); a part is in a child.
//   cut MEBIBYTES
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile uint64_t* pages;
static size_t count;
static volatile uint64_t pass;
static volatile sig_atomic_t asked;

static void ask(int signal) {
  (void)signal;
  asked = 1;
}

static volatile uint64_t* page(size_t i) { return pages + i * 512; }

int main(int argc, char** argv) {
  count = (size_t)atol(argc > 1 ? argv[1] : "64") * 256;
  pages = mmap(NULL, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  char* base = (char*)(uintptr_t)pages;
  madvise(base + count * 4096 / 4, count * 4096 / 8, MADV_DONTFORK);
  for (size_t i = 0; i < count; ++i) {
    *page(i) = 1;
  }
  pass = 1;
  signal(SIGUSR1, ask);
  pid_t child = fork();
  if (child == 0) {
    // The part that is not in a child can't be written to there.
    count /= 4;
  } else {
    madvise(base + count * 4096 / 2, count * 4096 / 8, MADV_WIPEONFORK);
    puts("ready");
    fflush(stdout);
  }
  size_t next = 0;
  while (!asked) {
    if (next == count) {
      next = 0;
      ++pass;
    } else {
      *page(next++) = pass + 1;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    uint64_t expected = i < next ? pass + 1 : pass;
    if (*page(i) != expected) {
      printf("page %zu: %llu instead of %llu in pass %llu at %zu\n", i, (unsigned long long)*page(i),
             (unsigned long long)expected, (unsigned long long)pass, next);
      return 1;
    }
  }
  if (child != 0) {
    int status = 0;
    kill(child, SIGUSR1);
    if (waitpid(-1, &status, __WALL) != child || status != 0) {
      puts("the child");
      return 1;
    }
    if (waitpid(-1, &status, __WALL) != -1) {
      puts("a child too many");
      return 1;
    }
    puts("CONSISTENT");
  }
  return 0;
}
