// What a computation holds in memory, on its stack and in a shared page stays as it was across freezes, in parent and
// child.
#include <sys/mman.h>

#include "guest.h"

enum { kWords = 100000, kRounds = 4 };

int main(void) {
  guest_begin();
  uint64_t* shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  uint64_t* words = malloc(kWords * sizeof *words);
  struct gate go = gate_make(), done = gate_make();
  pid_t child = guest_fork();
  for (uint64_t i = 0; i < kWords; ++i) {
    words[i] = i * i + (child == 0);
  }
  for (int round = 0; round < kRounds; ++round) {
    if (child == 0) {
      CHECK_EQ(gate_receive(&go), round);
      shared[0] += 7;
      gate_send(&done, round);
    } else {
      guest_fence();
      gate_send(&go, round);
      CHECK_EQ(gate_receive(&done), round);
      CHECK_EQ(shared[0], 7 * (round + 1));
    }
    for (uint64_t i = 0; i < kWords; ++i) {
      CHECK_EQ(words[i], i * i + (child == 0) + (uint64_t)round);
      ++words[i];
    }
  }
  if (child == 0) {
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
