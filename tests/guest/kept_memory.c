// Memory in states that few programs bring it to, across a freeze: advice of all kinds, reservations of terabytes, moved
// and split mappings, huge pages of files and of none, rings of asynchronous I/O, memory shared with those that fork,
// programs that rewrite their command line, pages that only one side has touched.
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "case.h"

enum { kPage = 4096 };

static char* mapped(size_t size, int protection, int flags) {
  return SYS((char*)mmap(NULL, size, protection, flags | MAP_ANONYMOUS, -1, 0));
}

// The flags of smaps that a mapping has, as text.
static void flags_of(const void* address, char* flags, size_t size) {
  FILE* maps = fopen("/proc/self/smaps", "re");
  CHECK(maps);
  char line[1024];
  bool inside = false;
  flags[0] = '\0';
  while (fgets(line, sizeof line, maps)) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
      inside = (unsigned long)address >= start && (unsigned long)address < end;
    } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
      snprintf(flags, size, "%s", line + 8);
    }
  }
  fclose(maps);
  CHECK(flags[0]);
}

static void advice(void) {
  static const int kinds[] = {MADV_DONTFORK,  MADV_DONTDUMP, MADV_MERGEABLE, MADV_HUGEPAGE,
                              MADV_NOHUGEPAGE, MADV_SEQUENTIAL, MADV_RANDOM,  MADV_WIPEONFORK};
  enum { kKinds = sizeof kinds / sizeof *kinds };
  char* memory[kKinds];
  char before[kKinds][256], after[256];
  for (int i = 0; i < kKinds; ++i) {
    memory[i] = mapped(4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memory[i][5] = (char)i;
    if (madvise(memory[i], 2 << 20, kinds[i]) != 0) {
      CHECK_EQ(errno, EINVAL);  // a kernel without KSM or huge pages
    }
    flags_of(memory[i], before[i], sizeof before[i]);
  }
  case_wait();
  for (int i = 0; i < kKinds; ++i) {
    flags_of(memory[i], after, sizeof after);
    CHECK_STR(after, before[i]);
    CHECK_EQ(memory[i][5], i);
  }
}

static void reserved(void) {
  size_t size = 1UL << 42;
  char* none = mapped(size, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
  char* some = mapped(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
  for (size_t at = 0; at < size; at += size / 64) {
    some[at] = (char)(at / (size / 64) + 1);
  }
  SYS(mprotect(none + kPage, kPage, PROT_READ | PROT_WRITE));
  none[kPage] = 'x';
  case_wait();
  for (size_t at = 0; at < size; at += size / 64) {
    CHECK_EQ(some[at], (char)(at / (size / 64) + 1));
  }
  CHECK_EQ(none[kPage], 'x');
  CHECK_EQ(some[kPage], 0);
}

static void moved(void) {
  char* memory = mapped(16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  for (int i = 0; i < 16; ++i) {
    memory[i * kPage] = (char)('a' + i);
  }
  char* place = mapped(16 * kPage, PROT_NONE, MAP_PRIVATE);
  char* half = SYS(mremap(memory + 8 * kPage, 8 * kPage, 8 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, place));
  SYS(munmap(memory + 2 * kPage, kPage));
  SYS(mprotect(memory + 4 * kPage, kPage, PROT_READ));
  case_wait();
  CHECK_EQ(half[0], 'i');
  CHECK_EQ(half[7 * kPage], 'p');
  CHECK_EQ(memory[4 * kPage], 'e');
  unsigned char there;
  CHECK_ERRNO(mincore(memory + 2 * kPage, kPage, &there), ENOMEM);
  char* grown = SYS(mremap(half, 8 * kPage, 64 * kPage, MREMAP_MAYMOVE));
  CHECK_EQ(grown[7 * kPage], 'p');
  for (int i = 8; i < 64; ++i) {
    CHECK_EQ(grown[i * kPage], 0);
  }
}

static void given_back(void) {
  char* memory = mapped(64 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memset(memory, 'x', 64 * kPage);
  case_wait();
  SYS(madvise(memory, 32 * kPage, MADV_DONTNEED));
  for (int i = 0; i < 32; ++i) {
    CHECK_EQ(memory[i * kPage], 0);
  }
  CHECK_EQ(memory[32 * kPage], 'x');
}

static void file_private_shared(void) {
  int fd = SYS(open("maps-file", O_RDWR | O_CREAT, 0600));
  SYS(ftruncate(fd, 8 * kPage));
  CHECK_EQ(pwrite(fd, "file", 4, 0), 4);
  CHECK_EQ(pwrite(fd, "next", 4, kPage), 4);
  char* private = SYS((char*)mmap(NULL, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  char* shared = SYS((char*)mmap(NULL, 8 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  char* beyond = SYS((char*)mmap(NULL, 16 * kPage, PROT_READ, MAP_PRIVATE, fd, 0));
  char* second = SYS((char*)mmap(NULL, kPage, PROT_READ, MAP_SHARED, fd, kPage));
  memcpy(private, "mine", 4);
  SYS(close(fd));
  case_wait();
  CHECK_EQ(memcmp(private, "mine", 4), 0);
  CHECK_EQ(memcmp(shared, "file", 4), 0);
  memcpy(shared + kPage, "news", 4);
  CHECK_EQ(memcmp(second, "news", 4), 0);
  CHECK_EQ(memcmp(private + kPage, "news", 4), 0);
  CHECK_EQ(memcmp(beyond + kPage, "news", 4), 0);
  SYS(madvise(private, kPage, MADV_DONTNEED));
  CHECK_EQ(memcmp(private, "file", 4), 0);
}

static void protections_of_files(void) {
  int fd = SYS(open("maps-protection", O_RDWR | O_CREAT, 0600));
  SYS(ftruncate(fd, kPage));
  int reader = SYS(open("maps-protection", O_RDONLY));
  char* writable = SYS((char*)mmap(NULL, kPage, PROT_READ, MAP_SHARED, fd, 0));
  char* readable = SYS((char*)mmap(NULL, kPage, PROT_READ, MAP_SHARED, reader, 0));
  char* private = SYS((char*)mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, reader, 0));
  char* none = SYS((char*)mmap(NULL, kPage, PROT_NONE, MAP_SHARED, fd, 0));
  case_wait();
  SYS(mprotect(writable, kPage, PROT_READ | PROT_WRITE));
  CHECK_ERRNO(mprotect(readable, kPage, PROT_READ | PROT_WRITE), EACCES);
  SYS(mprotect(private, kPage, PROT_READ | PROT_WRITE));
  SYS(mprotect(none, kPage, PROT_READ | PROT_WRITE));
  none[1] = 'n';
  private[1] = 'p';
  CHECK_EQ(writable[1], 'n');
}

static void shared_with_children(void) {
  size_t size = 64 * kPage;
  char* whole = mapped(size, PROT_READ | PROT_WRITE, MAP_SHARED);
  memset(whole, 'a', size);
  int zero = SYS(open("/dev/zero", O_RDWR));
  char* device = SYS((char*)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0));
  strcpy(device, "zero");
  struct gate go = gate_make(), done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(munmap(whole, size / 2));  // has the second half only, and writes at its end
    gate_wait(&go);
    CHECK_EQ(whole[size - 1], 'b');
    whole[size - 1] = 'c';
    CHECK_STR(device, "zero");
    strcpy(device, "seen");
    gate_open(&done);
    _exit(0);
  }
  case_wait();
  whole[size - 1] = 'b';
  gate_open(&go);
  gate_wait(&done);
  CHECK_EQ(whole[size - 1], 'c');
  CHECK_EQ(whole[0], 'a');
  CHECK_STR(device, "seen");
  REAP(child);
}

static void shared_pages_untouched(void) {
  size_t size = 256UL << 20;
  char* memory = mapped(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
  memory[size - 1] = 'z';
  memory[size / 2] = 'm';
  char* no_access = mapped(16 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  no_access[kPage] = 'h';
  SYS(mprotect(no_access, 16 * kPage, PROT_NONE));
  case_wait();
  CHECK_EQ(memory[size - 1], 'z');
  CHECK_EQ(memory[size / 2], 'm');
  CHECK_EQ(memory[0], 0);
  SYS(mprotect(no_access, 16 * kPage, PROT_READ));
  CHECK_EQ(no_access[kPage], 'h');
}

static void no_access_private(void) {
  char* memory = mapped(16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memset(memory, 'q', 16 * kPage);
  SYS(mprotect(memory, 4 * kPage, PROT_NONE));
  SYS(mprotect(memory + 4 * kPage, 4 * kPage, PROT_WRITE));
  SYS(mprotect(memory + 8 * kPage, 4 * kPage, PROT_READ | PROT_EXEC));
  case_wait();
  CHECK_EQ(memory[8 * kPage], 'q');
  SYS(mprotect(memory, 8 * kPage, PROT_READ));
  CHECK_EQ(memory[0], 'q');
  CHECK_EQ(memory[4 * kPage], 'q');
}

static void grows(void) {
  // A stack that the program has made, with room below; it grows after the freeze, and only so far as it may.
  char* room = mapped(512 * kPage, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
  SYS(munmap(room, 512 * kPage));
  char* stack = SYS((char*)mmap(room + 510 * kPage, 2 * kPage, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
  stack[0] = 's';
  stack[-kPage] = 'b';  // grown once
  case_wait();
  CHECK_EQ(stack[0], 's');
  CHECK_EQ(stack[-kPage], 'b');
  for (int i = 2; i < 100; ++i) {
    stack[-i * kPage] = (char)i;
  }
  CHECK_EQ(stack[-99 * kPage], 99);
}

static void locked(void) {
  struct rlimit limit;
  SYS(getrlimit(RLIMIT_MEMLOCK, &limit));
  char* memory = mapped(8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  SYS(mlock(memory, 4 * kPage));
  char* on_fault = mapped(8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  SYS(mlock2(on_fault, 8 * kPage, MLOCK_ONFAULT));
  char before[2][256], after[256];
  flags_of(memory, before[0], 256);
  flags_of(on_fault, before[1], 256);
  case_wait();
  flags_of(memory, after, 256);
  CHECK_STR(after, before[0]);
  flags_of(on_fault, after, 256);
  CHECK_STR(after, before[1]);
  unsigned char there = 1;
  SYS(mincore(on_fault, kPage, &there));
  CHECK_EQ(there & 1, 0);
  SYS(munlock(memory, 4 * kPage));
}

static void locked_all(void) {
  SYS(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
  char* before = mapped(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  case_wait();
  char* memory = mapped(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char flags[256];
  flags_of(memory, flags, sizeof flags);
  CHECK(strstr(flags, " lo "));
  flags_of(before, flags, sizeof flags);
  CHECK(strstr(flags, " lo "));
  // Locked when touched, as MCL_ONFAULT says.
  unsigned char there = 1;
  SYS(mincore(memory, kPage, &there));
  CHECK_EQ(there & 1, 0);
}

static void guards(void) {
  char* memory = mapped(8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memset(memory, 'g', 8 * kPage);
  if (madvise(memory + 2 * kPage, kPage, 102) != 0) {
    CHECK_EQ(errno, EINVAL);
    FAIL("this kernel has no guard pages (Linux 6.13)");
  }
  case_wait();
  pid_t child = guest_fork();
  if (child == 0) {
    ((volatile char*)memory)[2 * kPage] = 1;
    _exit(0);
  }
  REAP_SIGNAL(child, SIGSEGV);
  CHECK_EQ(memory[kPage], 'g');
  CHECK_EQ(memory[3 * kPage], 'g');
  SYS(madvise(memory + 2 * kPage, kPage, 103));
  CHECK_EQ(memory[2 * kPage], 0);
}

static void rewritten_arguments(void) {
  char path[64], text[256], before[256];
  // As setproctitle(3) does: the kernel shows what is there now.
  size_t length = strlen(program_invocation_name);
  memset(program_invocation_name, 'Z', length);
  snprintf(path, sizeof path, "/proc/self/cmdline");
  ssize_t size = read_file(path, before, sizeof before);
  case_wait();
  CHECK_EQ(read_file(path, text, sizeof text), size);
  CHECK_EQ(memcmp(text, before, (size_t)size), 0);
  CHECK_EQ(text[0], 'Z');
  CHECK(getauxval(AT_PAGESZ) == kPage);
  char vector[4096];
  CHECK(read_file("/proc/self/auxv", vector, sizeof vector) > 0);
  char environment[65536];
  CHECK(read_file("/proc/self/environ", environment, sizeof environment) > 0);
}

static void pages_by_fork(void) {
  // Pages that parent and child still share stay one's own for each.
  char* memory = mapped(512 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memset(memory, 'f', 512 * kPage);
  struct gate go = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    memset(memory, 'c', 128 * kPage);
    gate_wait(&go);
    CHECK_EQ(memory[0], 'c');
    CHECK_EQ(memory[200 * kPage], 'f');
    memset(memory, 'd', 512 * kPage);
    _exit(0);
  }
  case_wait();
  memset(memory + 256 * kPage, 'p', 128 * kPage);
  gate_open(&go);
  REAP(child);
  CHECK_EQ(memory[0], 'f');
  CHECK_EQ(memory[300 * kPage], 'p');
  CHECK_EQ(memory[511 * kPage], 'f');
}

static void heap_end(void) {
  char* start = sbrk(0);
  CHECK(sbrk(100 * kPage) == start);
  start[99 * kPage] = 'h';
  CHECK(sbrk(-50 * kPage) == start + 100 * kPage);
  case_wait();
  CHECK(sbrk(0) == start + 50 * kPage);
  CHECK(sbrk(50 * kPage) == start + 50 * kPage);
  CHECK_EQ(start[99 * kPage], 0);
}

static void sysv_kinds(void) {
  int id = SYS(shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600));
  char* memory = SYS((char*)shmat(id, NULL, 0));
  char* reader = SYS((char*)shmat(id, NULL, SHM_RDONLY));
  int unused = SYS(shmget(IPC_PRIVATE, 3 * kPage, IPC_CREAT | 0600));
  strcpy(memory, "system five");
  memory[4999] = 'e';
  SYS(shmctl(id, IPC_RMID, NULL));
  case_wait();
  CHECK_STR(reader, "system five");
  CHECK_EQ(reader[4999], 'e');
  struct shmid_ds info;
  SYS(shmctl(id, IPC_STAT, &info));
  CHECK_EQ(info.shm_segsz, 5000);
  CHECK_EQ(info.shm_nattch, 2);
  SYS(shmdt(memory));
  SYS(shmdt(reader));
  CHECK(shmctl(id, IPC_STAT, &info) == -1);
  char* late = SYS((char*)shmat(unused, NULL, 0));
  CHECK_EQ(late[0], 0);
  SYS(shmctl(unused, IPC_RMID, NULL));
}

static void memory_files(void) {
  int fd = SYS(memfd_create("seals", MFD_ALLOW_SEALING | MFD_CLOEXEC));
  SYS(ftruncate(fd, 3 * kPage + 5));
  CHECK_EQ(pwrite(fd, "sealed", 6, kPage), 6);
  SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int reader = SYS(open(path, O_RDONLY));
  char* shared = SYS((char*)mmap(NULL, 4 * kPage, PROT_READ, MAP_SHARED, reader, 0));
  int plain = SYS(memfd_create("plain", 0));
  char* writer = NULL;
  SYS(ftruncate(plain, kPage));
  writer = SYS((char*)mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, plain, 0));
  strcpy(writer, "plain");
  int future = SYS(memfd_create("future", MFD_ALLOW_SEALING));
  SYS(ftruncate(future, kPage));
  char* mine = SYS((char*)mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, future, 0));
  SYS(fcntl(future, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  int execute = SYS(memfd_create("no-exec", 8 /* MFD_NOEXEC_SEAL */));
  case_wait();
  CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  CHECK_EQ(memcmp(shared + kPage, "sealed", 6), 0);
  CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
  CHECK_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
  char text[8] = "";
  CHECK_EQ(pread(plain, text, 5, 0), 5);
  CHECK_STR(text, "plain");
  mine[0] = 'f';
  CHECK_ERRNO(pwrite(future, "x", 1, 0), EPERM);
  CHECK(fcntl(execute, F_GET_SEALS) & 0x20 /* F_SEAL_EXEC */);
  struct stat info;
  SYS(fstat(execute, &info));
  CHECK_EQ(info.st_mode & 0111, 0);
}

static void huge_file(void) {
  // Huge pages of hugetlbfs: kept, or refused by name, where the machine has some; this one proves that none are lost.
  void* memory = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (memory != MAP_FAILED) {
    memset(memory, 'H', 2 << 20);
  }
  case_wait();
  if (memory != MAP_FAILED) {
    CHECK_EQ(((char*)memory)[(2 << 20) - 1], 'H');
  }
}

static void transparent(void) {
  size_t huge = 2 << 20;
  char* memory = mapped(8 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* aligned = (char*)(((uintptr_t)memory + huge - 1) & ~(huge - 1));
  madvise(aligned, 4 * huge, MADV_HUGEPAGE);
  memset(aligned, 'T', 3 * huge);
  SYS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  case_wait();
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
  for (size_t i = 0; i < 3 * huge; i += kPage) {
    CHECK_EQ(aligned[i], 'T');
  }
  CHECK_EQ(aligned[3 * huge], 0);
}

static void sealed(void) {
  char* memory = mapped(4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  strcpy(memory, "sealed");
  SYS(mprotect(memory, 4 * kPage, PROT_READ));
  if (syscall(462, memory, 4 * kPage, 0) != 0) {
    FAIL("this kernel has no mseal (Linux 6.10)");
  }
  case_wait();
  CHECK_ERRNO(munmap(memory, kPage), EPERM);
  CHECK_ERRNO(mprotect(memory, kPage, PROT_READ | PROT_WRITE), EPERM);
  CHECK_STR(memory, "sealed");
}

static void many_mappings(void) {
  enum { kCount = 2000 };
  static char* memory[kCount];
  for (int i = 0; i < kCount; ++i) {
    memory[i] = mapped(2 * kPage, i % 2 ? PROT_READ | PROT_WRITE : PROT_READ, MAP_PRIVATE);
    if (i % 2) {
      memory[i][kPage] = (char)i;
    }
  }
  case_wait();
  for (int i = 0; i < kCount; ++i) {
    CHECK_EQ(memory[i][kPage], i % 2 ? (char)i : 0);
  }
}

static void protection_keys(void) {
  int key = pkey_alloc(0, 0);
  if (key < 0) {
    CHECK(errno == ENOSPC || errno == EINVAL || errno == ENOSYS);  // the processor has none
    case_wait();
    return;
  }
  char* memory = mapped(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memory[0] = 'k';
  SYS(pkey_mprotect(memory, kPage, PROT_READ | PROT_WRITE, key));
  SYS(pkey_set(key, PKEY_DISABLE_WRITE));
  case_wait();
  CHECK_EQ(pkey_get(key), PKEY_DISABLE_WRITE);
  CHECK_EQ(memory[0], 'k');
  pid_t child = guest_fork();
  if (child == 0) {
    ((volatile char*)memory)[0] = 1;
    _exit(0);
  }
  REAP_SIGNAL(child, SIGSEGV);
}

int main(void) {
  guest_begin();
  static const struct guest_case cases[] = {
      {"advice", advice}, {"reserved", reserved}, {"moved", moved}, {"given_back", given_back},
      {"file_private_shared", file_private_shared}, {"protections_of_files", protections_of_files},
      {"shared_with_children", shared_with_children}, {"shared_pages_untouched", shared_pages_untouched},
      {"no_access_private", no_access_private}, {"grows", grows}, {"locked", locked}, {"locked_all", locked_all},
      {"guards", guards}, {"rewritten_arguments", rewritten_arguments}, {"pages_by_fork", pages_by_fork},
      {"heap_end", heap_end}, {"sysv_kinds", sysv_kinds}, {"memory_files", memory_files},
      {"huge_file", huge_file}, {"transparent", transparent}, {"sealed", sealed}, {"many_mappings", many_mappings},
      {"protection_keys", protection_keys},
  };
  return CASES(cases);
}
