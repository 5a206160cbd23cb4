// Memory that is much: thawed, it is private memory as before, whatever is done to it first, while some of it may still
// have to be read from the image.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "case.h"

enum { kPage = 4096, kSize = 6 << 20, kPages = kSize / kPage };
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static uint64_t word(size_t page) { return page * 0x9e3779b97f4a7c15u + 1; }

static void fill(char* memory, size_t from, size_t to) {
  for (size_t page = from; page < to; ++page) {
    for (size_t i = 0; i < kPage / sizeof(uint64_t); ++i) {
      ((uint64_t*)(void*)(memory + page * kPage))[i] = word(page) + i;
    }
  }
}

static void check(const char* memory, size_t from, size_t to) {
  for (size_t page = from; page < to; ++page) {
    for (size_t i = 0; i < kPage / sizeof(uint64_t); ++i) {
      CHECK_EQ(((const uint64_t*)(const void*)(memory + page * kPage))[i], word(page) + i);
    }
  }
}

static void check_zero(const char* memory, size_t from, size_t to) {
  for (size_t i = from * kPage; i < to * kPage; ++i) {
    CHECK_EQ(memory[i], 0);
  }
}

// Between two pages that can't be used, so that the kernel does not join it with another mapping.
static char* map(size_t size) {
  char* at = mmap(NULL, size + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED);
  SYS(mprotect(at + kPage, size, PROT_READ | PROT_WRITE));
  return at + kPage;
}

static char* filled(void) {
  char* memory = map(kSize);
  fill(memory, 0, kPages);
  return memory;
}

// The mapping at an address, as /proc/self/smaps has it.
struct mapping {
  uintptr_t start, end;
  char path[512], flags[512];
};
static struct mapping mapping_at(const void* address) {
  FILE* file = fopen("/proc/self/smaps", "re");
  CHECK(file);
  struct mapping found = {0}, now = {0};
  char line[512];
  while (fgets(line, sizeof line, file)) {
    unsigned long start, end;
    int at = 0;
    if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) == 2 && at > 0) {
      now.start = start;
      now.end = end;
      snprintf(now.path, sizeof now.path, "%.*s", (int)strcspn(line + at, "\n"), line + at);
    } else if (strncmp(line, "VmFlags:", 8) == 0 && now.start <= (uintptr_t)address && (uintptr_t)address < now.end) {
      snprintf(now.flags, sizeof now.flags, "%s", line + 8);
      found = now;
    }
  }
  fclose(file);
  CHECK(found.end != 0);
  return found;
}

static void dontneed(void) {
  char* memory = filled();
  case_wait();
  SYS(madvise(memory + 100 * kPage, 1000 * kPage, MADV_DONTNEED));
  check_zero(memory, 100, 1100);
  check(memory, 0, 100);
  check(memory, 1100, kPages);
  SYS(madvise(memory, kSize, MADV_DONTNEED));
  check_zero(memory, 0, kPages);
}

static void free_(void) {
  char* memory = filled();
  case_wait();
  SYS(madvise(memory, kSize / 2, MADV_FREE));
  for (size_t page = 0; page < kPages / 2; ++page) {
    uint64_t now = *(uint64_t*)(void*)(memory + page * kPage);
    CHECK(now == 0 || now == word(page));
  }
  check(memory, kPages / 2, kPages);
}

static void grow(void) {
  char* memory = filled();
  case_wait();
  char* moved = mremap(memory, kSize, kSize + (4 << 20), MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  check(moved, 0, kPages);
  check_zero(moved, kPages, kPages + 1024);
  moved = mremap(moved, kSize + (4 << 20), kSize / 2, 0);
  CHECK(moved != MAP_FAILED);
  check(moved, 0, kPages / 2);
}

// Some of it was never touched, some little: it is still one mapping, as mremap(2) wants it.
static char* with_gaps(void) {
  char* memory = map(3 * kSize);
  fill(memory, 1, 2);
  fill(memory, kPages / 2, kPages);
  fill(memory, kPages + 7, kPages + 9);
  fill(memory, 2 * kPages, 2 * kPages + kPages / 2);
  return memory;
}
static void check_gaps(const char* memory) {
  check_zero(memory, 0, 1);
  check(memory, 1, 2);
  check_zero(memory, 2, kPages / 2);
  check(memory, kPages / 2, kPages);
  check_zero(memory, kPages, kPages + 7);
  check(memory, kPages + 7, kPages + 9);
  check_zero(memory, kPages + 9, 2 * kPages);
  check(memory, 2 * kPages, 2 * kPages + kPages / 2);
  check_zero(memory, 2 * kPages + kPages / 2, 3 * kPages);
}
static void gaps(void) {
  char* memory = with_gaps();
  case_wait();
  memory[3 * kSize - 1] = 0;  // a part that is there from now on
  memory[10 * kPage] = 0;
  char* moved = mremap(memory, 3 * kSize, 4 * kSize, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  check_gaps(moved);
}
static void gaps_shown(void) {
  char* memory = with_gaps();
  case_wait();
  memory[10 * kPage] = 0;
  memory[kSize] = 0;
  struct mapping shown = mapping_at(memory + kSize - 1);
  CHECK_EQ(shown.start, (uintptr_t)memory);
  CHECK_EQ(shown.end, (uintptr_t)memory + 3 * kSize);
  CHECK_EQ(shown.path[0], 0);
  check_gaps(memory);
}

static void forked(void) {
  char* memory = with_gaps();
  case_wait();
  pid_t child = guest_fork();
  if (child == 0) {
    check_gaps(memory);
    fill(memory, 0, kPages);
    char* moved = mremap(memory, 3 * kSize, 4 * kSize, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED);
    check(moved, 0, kPages);
    _exit(0);
  }
  CHECK_EQ(guest_status(child), 0);
  check_gaps(memory);
}

static void written(void) {
  char* memory = filled();
  case_wait();
  for (size_t page = 0; page < kPages; page += 3) {
    memory[page * kPage] = 'w';
  }
  struct mapping shown = mapping_at(memory);  // now all of it is what it was
  CHECK_EQ(shown.end - shown.start, kSize);
  CHECK_EQ(shown.path[0], 0);
  for (size_t page = 0; page < kPages; page += 3) {
    CHECK_EQ(memory[page * kPage], 'w');
    *(uint64_t*)(void*)(memory + page * kPage) = word(page);
  }
  check(memory, 0, kPages);
}

static void protected(void) {
  char* memory = filled();
  case_wait();
  SYS(mprotect(memory + kSize / 2, kSize / 2, PROT_READ));
  struct mapping shown = mapping_at(memory + kSize - 1);
  CHECK_EQ(shown.start, (uintptr_t)memory + kSize / 2);
  CHECK(strstr(shown.flags, " wr ") == NULL);
  int zero = SYS(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_ERRNO(read(zero, memory + kSize / 2, 1), EFAULT);
  CHECK_EQ(read(zero, memory, kPage), kPage);
  check_zero(memory, 0, 1);
  check(memory, 1, kPages);
  SYS(mprotect(memory, kSize, PROT_READ | PROT_WRITE | PROT_EXEC));
  check(memory, 1, kPages);
}

static void hidden(void) {
  char* memory = filled();
  SYS(mprotect(memory, kSize, PROT_NONE));
  case_wait();
  SYS(mprotect(memory, kSize / 2, PROT_READ));
  check(memory, 0, kPages / 2);
  CHECK(strstr(mapping_at(memory + kSize - 1).flags, " rd ") == NULL);
  SYS(mprotect(memory, kSize, PROT_READ));
  check(memory, 0, kPages);
}

static void unmapped(void) {
  char* memory = filled();
  case_wait();
  SYS(munmap(memory + kSize / 4, kSize / 4));
  char* fresh = mmap(memory + kSize / 4, kSize / 8, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK_EQ(fresh, memory + kSize / 4);
  check_zero(fresh, 0, kPages / 8);
  fresh[0] = 'f';
  mapping_at(memory);
  CHECK_EQ(fresh[0], 'f');
  check_zero(memory, kPages / 4 + 1, kPages / 4 + kPages / 8);
  check(memory, 0, kPages / 4);
  check(memory, kPages / 2, kPages);
}

static void locked(void) {
  char* memory = filled();
  case_wait();
  if (mlock(memory, 4 * kPage) != 0) {  // RLIMIT_MEMLOCK
    CHECK(errno == ENOMEM || errno == EPERM);
    return;
  }
  CHECK(strstr(mapping_at(memory).flags, " lo ") != NULL);
  check(memory, 0, kPages);
}

static void advised(void) {
  char* memory = filled();
  SYS(madvise(memory, kSize, MADV_DONTDUMP));
  bool named = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, kSize, "large") == 0;
  case_wait();
  memory[5 * kPage] = 'a';
  struct mapping shown = mapping_at(memory);
  CHECK(strstr(shown.flags, " dd ") != NULL);
  CHECK_EQ(shown.end - shown.start, kSize);
  CHECK(strcmp(shown.path, named ? "[anon:large]" : "") == 0);
  CHECK_EQ(memory[5 * kPage], 'a');
  check(memory, 6, kPages);
}

// Another thread goes over all of it again and again; every word is to say how often.
static char* swept;
static volatile uint64_t sweeps;
static atomic_bool sweep_ends;
static void* sweep(void* unused) {
  (void)unused;
  while (!atomic_load(&sweep_ends)) {
    for (size_t page = 0; page < kPages; ++page) {
      for (size_t i = page % 512; i < 512; i += 128) {
        ((volatile uint64_t*)(void*)(swept + page * kPage))[i] += 1;
      }
    }
    ++sweeps;
  }
  return NULL;
}
static void swept_by_thread(void) {
  swept = map(kSize);
  memset(swept, 0, kSize);
  for (size_t page = 0; page < kPages; ++page) {
    swept[page * kPage + kPage - 1] = (char)page;
  }
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, sweep, NULL), 0);
  while (sweeps < 2) {
  }
  case_wait();
  for (uint64_t until = sweeps + 3; sweeps < until;) {
  }
  atomic_store(&sweep_ends, true);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  for (size_t page = 0; page < kPages; ++page) {
    const uint64_t* words = (uint64_t*)(void*)(swept + page * kPage);
    for (size_t i = page % 512; i < 511; i += 128) {
      CHECK_EQ(words[i], sweeps);
    }
  }
}

// The kernel reads and writes it for the program.
static void through_the_kernel(void) {
  char* memory = filled();
  int fd = SYS(memfd_create("copy", MFD_CLOEXEC));
  case_wait();
  for (size_t done = 0; done < kSize;) {
    done += (size_t)SYS(pwrite(fd, memory + done, kSize - done, (off_t)done));
  }
  char* copy = mmap(NULL, kSize, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(copy != MAP_FAILED);
  check(copy, 0, kPages);
  CHECK_EQ(pread(fd, memory, kSize / 2, kSize / 2), kSize / 2);
  check(memory, kPages / 2, kPages);
  for (size_t i = 0; i < kSize / 2; ++i) {
    CHECK_EQ(memory[i], memory[i + kSize / 2]);
  }
}

static void by_brk(void) {
  char* memory = sbrk(kSize);
  CHECK(memory != (void*)-1);
  memory = (char*)(((uintptr_t)memory + kPage - 1) / kPage * kPage);
  fill(memory, 0, kPages - 1);
  case_wait();
  CHECK(sbrk(kSize) != (void*)-1);
  check(memory, 0, kPages - 1);
  check_zero(memory, kPages + 1, 2 * kPages - 2);
  CHECK(strcmp(mapping_at(memory).path, "[heap]") == 0);
  CHECK(sbrk(-kSize) != (void*)-1);
  CHECK(sbrk(-kSize / 2) != (void*)-1);
  check(memory, 0, kPages / 2 - 2);
  CHECK(sbrk(kSize / 2) != (void*)-1);
  check_zero(memory, kPages / 2 + 1, kPages - 2);
}

int main(void) {
  guest_begin();
  const struct guest_case cases[] = {
      {"dontneed", dontneed},   {"free", free_},
      {"grow", grow},           {"gaps", gaps},
      {"gaps_shown", gaps_shown}, {"forked", forked},
      {"written", written},     {"protected", protected},
      {"hidden", hidden},       {"unmapped", unmapped},
      {"locked", locked},       {"advised", advised},
      {"swept", swept_by_thread}, {"kernel", through_the_kernel},
      {"brk", by_brk},
  };
  return cases_run(cases, sizeof cases / sizeof *cases);
}
