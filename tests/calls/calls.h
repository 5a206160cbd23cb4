// What every transcript shares. A transcript makes system calls of one family with all kinds of arguments and prints a
// line for each: the call as it stands in the source, and its result. It is run natively and under Beam, and the two
// outputs have to be the same (compare). So nothing that differs between two native runs may be printed: no ids, no
// addresses, no times; arguments are named by variables.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// No pid_max reaches it.
enum { kNobody = 0x3fffffff };

// Pointers of every kind: a page that can be written, one that can only be read, one that is not there; `tail(N)` has N
// bytes before the page that is not there.
static char* writable;
static char* readable;
static char* missing;

// Volatile, or the compiler warns of what it finds there.
static volatile uintptr_t bad_pointer = 8;
#define NONE ((void*)0)
#define BAD ((void*)bad_pointer)
#define HIGH ((void*)0xffff800000000000UL)

__attribute__((unused)) static void* tail(size_t size) {
  return missing - size;
}

__attribute__((unused)) static void transcript_begin(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  alarm(100);
  readable = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  writable = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  missing = writable + 4096;
  munmap(missing, 4096);
}

__attribute__((unused)) static void say(const char* call, long result, int error) {
  if (result == -1) {
    printf("%s = -1 %s\n", call, strerrorname_np(error));
  } else {
    printf("%s = %ld\n", call, result);
  }
}

// The call with its result.
#define T(call)                  \
  do {                           \
    errno = 0;                   \
    long result_ = (long)(call); \
    say(#call, result_, errno);  \
  } while (0)

// The call whose result differs from run to run: only whether it failed.
#define OK(call)                               \
  do {                                         \
    errno = 0;                                 \
    long result_ = (long)(call);               \
    say(#call, result_ == -1 ? -1 : 0, errno); \
  } while (0)

// The call whose result is to be `wanted`, which differs from run to run.
#define IS(call, wanted)                                                      \
  do {                                                                        \
    errno = 0;                                                                \
    long result_ = (long)(call);                                              \
    if (result_ == (long)(wanted)) {                                          \
      printf("%s is %s\n", #call, #wanted);                                   \
    } else if (result_ == -1) {                                               \
      printf("%s = -1 %s, not %s\n", #call, strerrorname_np(errno), #wanted); \
    } else {                                                                  \
      printf("%s is not %s\n", #call, #wanted);                               \
    }                                                                         \
  } while (0)

// A value that is the same in every run.
#define V(value) printf("%s is %ld\n", #value, (long)(value))
