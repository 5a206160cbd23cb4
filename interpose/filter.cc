#include "interpose/filter.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/check.h"
#include "interpose/agent/layout.h"
#include "interpose/shifted_clocks.h"

namespace beam::interpose {
namespace {

constexpr std::uint32_t kX32Bit = 0x40000000;

class FilterBuilder {
 public:
  FilterBuilder(const SyscallTable& table, SandboxTraits traits) : table_(table), traits_(traits) {}

  std::vector<sock_filter> build() {
    load(offsetof(seccomp_data, arch));
    // int 0x80 enters with the 32-bit table's numbers: no program of this ABI needs it.
    emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    load(offsetof(seccomp_data, nr));
    // -1 is what a tracer makes of a call that it skips; the kernel does nothing for it.
    emit(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 0, 1);
    emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    emit(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1);
    emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    collect_ranges();
    search(0, ranges_.size());
    trap_block(notify_jumps_, SECCOMP_RET_USER_NOTIF);
    trap_block(trace_jumps_, SECCOMP_RET_TRACE);
    BEAM_CHECK(code_.size() <= BPF_MAXINSNS);
    return std::move(code_);
  }

 private:
  // Neighbouring numbers with the same unconditional verdict, or one number with conditions.
  struct Range {
    std::uint32_t first;
    const SyscallDeclaration* call;  // null: unknown to this table
  };

  [[nodiscard]] Strategy strategy_of(const SyscallDeclaration& call) const {
    return call.view_only && !traits_.has_view ? Strategy::kAllow : call.strategy;
  }

  bool same_verdict(const SyscallDeclaration* a, const SyscallDeclaration* b) const {
    if (a == nullptr || b == nullptr) {
      return a == b;
    }
    return strategy_of(*a) == strategy_of(*b) && a->deny_errno == b->deny_errno &&
           a->deny_only_root == b->deny_only_root && a->trap_when.empty() && b->trap_when.empty();
  }

  void collect_ranges() {
    const SyscallDeclaration* last = nullptr;
    for (long number = 0; number < SyscallTable::kSize; ++number) {
      const SyscallDeclaration* call = table_.find(number);
      if (ranges_.empty() || !same_verdict(last, call)) {
        ranges_.push_back({static_cast<std::uint32_t>(number), call});
      }
      last = call;
    }
    if (last != nullptr) {
      ranges_.push_back({static_cast<std::uint32_t>(SyscallTable::kSize), nullptr});
    }
  }

  void search(std::size_t begin, std::size_t end) {
    if (end - begin == 1) {
      verdict(ranges_[begin].call);
      return;
    }
    const std::size_t middle = begin + (end - begin) / 2;
    emit(BPF_JMP | BPF_JGE | BPF_K, ranges_[middle].first, 0, 1);
    const std::size_t to_right = code_.size();
    emit(BPF_JMP | BPF_JA, 0);
    search(begin, middle);
    land(to_right);
    search(middle, end);
  }

  void verdict(const SyscallDeclaration* call) {
    if (call == nullptr) {
      // A call that came after this table: programs know how to live without it.
      emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
      return;
    }
    switch (strategy_of(*call)) {
      case Strategy::kAllow:
        emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        return;
      case Strategy::kDeny:
        emit(BPF_RET | BPF_K, call->deny_only_root && unprivileged_
                                  ? SECCOMP_RET_ALLOW
                                  : SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(call->deny_errno));
        return;
      case Strategy::kAnswer:
      case Strategy::kAnswerAtStop:
      case Strategy::kRewrite:
        break;
    }
    auto& jumps = call->strategy == Strategy::kAnswer ? notify_jumps_ : trace_jumps_;
    for (const Conjunction& tests : call->trap_when) {
      const bool for_shifted =
          std::any_of(tests.begin(), tests.end(), [](const ArgTest& test) { return test.arg == kShiftedClocks; });
      if (for_shifted && !traits_.shifted_clocks) {
        continue;
      }
      std::vector<std::size_t> misses;
      for (const ArgTest& test : tests) {
        half(test, 0, misses);
        half(test, 32, misses);
      }
      jumps.push_back(code_.size());
      emit(BPF_JMP | BPF_JA, 0);
      for (const std::size_t miss : misses) {
        land(miss);
      }
    }
    if (call->trap_when.empty()) {
      jumps.push_back(code_.size());
      emit(BPF_JMP | BPF_JA, 0);
    } else {
      emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
  }

  // One 32-bit half of a test; a miss goes to the next alternative. A test for inequality looks at one half only.
  void half(const ArgTest& test, unsigned shift, std::vector<std::size_t>& misses) {
    const auto mask = static_cast<std::uint32_t>(test.mask >> shift);
    if (mask == 0) {
      return;
    }
    BEAM_CHECK(test.equal || (test.mask & kInt) == 0 || (test.mask >> 32) == 0);
    load(static_cast<std::uint32_t>(offsetof(seccomp_data, args) + static_cast<unsigned>(test.arg) * 8 + shift / 8));
    if (mask != 0xffffffff) {
      emit(BPF_ALU | BPF_AND | BPF_K, mask);
    }
    emit(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(test.value >> shift), test.equal ? 1 : 0,
         test.equal ? 0 : 1);
    misses.push_back(code_.size());
    emit(BPF_JMP | BPF_JA, 0);
  }

  // Traps, unless the call comes from the agent's page (the address that a call reports is that behind its
  // instruction).
  void trap_block(const std::vector<std::size_t>& jumps, std::uint32_t action) {
    for (const std::size_t jump : jumps) {
      land(jump);
    }
    load(offsetof(seccomp_data, instruction_pointer) + 4);
    emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4);
    load(offsetof(seccomp_data, instruction_pointer));
    emit(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_BASE, 0, 2);
    emit(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_REPORT, 1, 0);
    emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    emit(BPF_RET | BPF_K, action);
  }

  void load(std::uint32_t offset) { emit(BPF_LD | BPF_W | BPF_ABS, offset); }
  void emit(int code, std::uint32_t k, int yes = 0, int no = 0) {
    code_.push_back(
        {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), k});
  }
  // Lets the unconditional jump at `jump` go to the next instruction.
  void land(std::size_t jump) { code_[jump].k = static_cast<std::uint32_t>(code_.size() - jump - 1); }

  const SyscallTable& table_;
  const SandboxTraits traits_;
  // With no_new_privs and without namespaces of its own, the sandbox never gets a capability that its supervisor lacks.
  const bool unprivileged_ = !may_have_capabilities();
  std::vector<Range> ranges_;
  std::vector<sock_filter> code_;
  std::vector<std::size_t> notify_jumps_;
  std::vector<std::size_t> trace_jumps_;
};

}  // namespace

bool may_have_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) {
    return true;
  }
  return (data[0].permitted | data[1].permitted) != 0;
}

std::vector<sock_filter> build_filter(const SyscallTable& table, SandboxTraits traits) {
  return FilterBuilder(table, traits).build();
}

}  // namespace beam::interpose
