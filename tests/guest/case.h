// Guests of many cases: each case is a process of its own that makes something, waits for SIGTERM in sigsuspend(2) while
// the sandbox is frozen and thawed, and then looks whether it still has it. GUEST_CASE=NAME runs one alone.
#pragma once
#include "guest.h"

struct guest_case {
  const char* name;
  void (*run)(void);
};

static int case_ready[2];

static void case_goes_on(int signal) { (void)signal; }

// In a case: all is made; returns after the freeze.
__attribute__((unused)) static void case_wait(void) {
  sigset_t none;
  sigfillset(&none);
  sigdelset(&none, SIGTERM);
  sigdelset(&none, SIGALRM);
  CHECK_EQ(write(case_ready[1], "r", 1), 1);
  sigsuspend(&none);
}

static int cases_run(const struct guest_case* cases, size_t count) {
  const char* only = getenv("GUEST_CASE");
  pid_t pids[256];
  CHECK(count <= sizeof pids / sizeof *pids);
  guest_handle(SIGTERM, (void (*)(int, siginfo_t*, void*))(void*)case_goes_on, 0);
  guest_block(SIGTERM);
  SYS(pipe2(case_ready, O_CLOEXEC));
  for (size_t i = 0; i < count; ++i) {
    pids[i] = 0;
    if (only && *only && strcmp(only, cases[i].name) != 0) {
      continue;
    }
    pids[i] = guest_fork();
    if (pids[i] == 0) {
      SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
      cases[i].run();
      _exit(0);
    }
    char byte;
    if (read(case_ready[0], &byte, 1) != 1) {
      FAIL("case %s ended before it was ready", cases[i].name);
    }
  }
  guest_fence();
  for (size_t i = 0; i < count; ++i) {
    if (pids[i] != 0) {
      SYS(kill(pids[i], SIGTERM));
      int status = guest_status(pids[i]);
      if (status != 0) {
        FAIL("case %s: got status 0x%x", cases[i].name, (unsigned)status);
      }
    }
  }
  return guest_pass();
}

#define CASES(list) cases_run(list, sizeof(list) / sizeof *(list))
