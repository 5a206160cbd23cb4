#include "interpose/own_filters.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "interpose/agent/layout.h"

namespace beam::interpose {
namespace {

constexpr std::uint64_t kProgramAddress = 0x401000;

// Classic BPF as seccomp runs it, as far as the filters here go.
std::uint32_t run(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  for (std::size_t at = 0;; ++at) {
    const sock_filter& instruction = program.at(at);
    const auto branch = [&](bool taken) { at += taken ? instruction.jt : instruction.jf; };
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + instruction.k, sizeof a);
        break;
      case BPF_LD | BPF_IMM:
        a = instruction.k;
        break;
      case BPF_LDX | BPF_W | BPF_IMM:
        x = instruction.k;
        break;
      case BPF_MISC | BPF_TAX:
        x = a;
        break;
      case BPF_MISC | BPF_TXA:
        a = x;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= instruction.k;
        break;
      case BPF_ALU | BPF_OR | BPF_K:
        a |= instruction.k;
        break;
      case BPF_JMP | BPF_JA:
        at += instruction.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        branch(a == instruction.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        branch(a >= instruction.k);
        break;
      case BPF_RET | BPF_K:
        return instruction.k;
      case BPF_RET | BPF_A:
        return a;
      default:
        ADD_FAILURE() << "instruction " << instruction.code;
        return 0;
    }
  }
}

seccomp_data call(long number, std::uint64_t from = kProgramAddress) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = AUDIT_ARCH_X86_64;
  data.instruction_pointer = from;
  return data;
}

std::vector<sock_filter> one(std::uint32_t number, std::uint32_t action) {
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, action),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

TEST(OwnFilters, KeepEveryVerdictOnTheProgramsCalls) {
  for (const std::uint32_t action :
       {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP | 7U, SECCOMP_RET_ERRNO | 5U,
        SECCOMP_RET_USER_NOTIF, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW}) {
    const auto changed = rewrite_own_filter(one(SYS_mkdir, action));
    ASSERT_FALSE(changed.empty());
    EXPECT_EQ(run(changed, call(SYS_mkdir)), action);
    EXPECT_EQ(run(changed, call(SYS_read)), SECCOMP_RET_ALLOW);
  }
}

TEST(OwnFilters, LetTheAgentAndRestartsThrough) {
  const auto changed = rewrite_own_filter({BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)});
  EXPECT_EQ(run(changed, call(SYS_mmap, BEAM_AGENT_GADGET + 2)), SECCOMP_RET_ALLOW);
  EXPECT_EQ(run(changed, call(SYS_restart_syscall)), SECCOMP_RET_ALLOW);
  EXPECT_EQ(run(changed, call(SYS_mmap, BEAM_AGENT_BASE - 1)), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(run(changed, call(SYS_futex, BEAM_AGENT_SLOTS + 2)), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(run(changed, call(SYS_mmap, BEAM_AGENT_GADGET + 2 + (1ULL << 32))), SECCOMP_RET_KILL_PROCESS);
}

TEST(OwnFilters, AnswerTraceAsWithoutATracer) {
  EXPECT_EQ(run(rewrite_own_filter(one(SYS_mkdir, SECCOMP_RET_TRACE | 9)), call(SYS_mkdir)),
            SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(ENOSYS));
}

TEST(OwnFilters, KeepVerdictsThatAreComputed) {
  const std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
      BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_A, 0),
  };
  const auto changed = rewrite_own_filter(program);
  seccomp_data data = call(SYS_dup);
  data.args[0] = 77;
  EXPECT_EQ(run(changed, data), SECCOMP_RET_ERRNO | 77U);
  data.instruction_pointer = BEAM_AGENT_GADGET + 2;
  EXPECT_EQ(run(changed, data), SECCOMP_RET_ALLOW);
}

TEST(OwnFilters, LeaveToTheKernelWhatItRefuses) {
  EXPECT_TRUE(rewrite_own_filter({}).empty());
  EXPECT_TRUE(rewrite_own_filter({BPF_STMT(BPF_LD | BPF_IMM, 1)}).empty());
  EXPECT_TRUE(rewrite_own_filter({BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, 0)}).empty());
  EXPECT_TRUE(rewrite_own_filter({BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0)}).empty());
  EXPECT_FALSE(rewrite_own_filter({BPF_STMT(BPF_JMP | BPF_JA, 0), BPF_STMT(BPF_RET | BPF_K, 0)}).empty());
}

TEST(OwnFilters, AgreeWithTheProgramOnRandomAllowlists) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<sock_filter> program = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (int i = 0; i < 40; ++i) {
      constexpr std::uint32_t kActions[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 1U, SECCOMP_RET_ERRNO | 2U,
                                            SECCOMP_RET_TRAP, SECCOMP_RET_KILL_THREAD};
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(random() % 100), 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, kActions[random() % std::size(kActions)]));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, round % 2 == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS));
    const auto changed = rewrite_own_filter(program);
    for (long number = 0; number < 100; ++number) {
      ASSERT_EQ(run(changed, call(number)), run(program, call(number)));
      ASSERT_EQ(run(changed, call(number, BEAM_AGENT_GADGET + 2)), SECCOMP_RET_ALLOW);
    }
  }
}

}  // namespace
}  // namespace beam::interpose
