#include "interpose/syscall_table.h"

#include <linux/audit.h>
#include <seccomp.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace beam::interpose {

TrapWhen one_of(int arg, const std::vector<std::uint64_t>& values, std::uint64_t mask) {
  TrapWhen when;
  for (const std::uint64_t value : values) {
    when.push_back({is(arg, value, mask)});
  }
  return when;
}

bool SyscallDeclaration::traps(const RawArgs& args) const {
  if (strategy == Strategy::kAllow || strategy == Strategy::kDeny) {
    return false;
  }
  const auto holds = [&](const ArgTest& test) {
    return ((args[static_cast<std::size_t>(test.arg)] & test.mask) == test.value) == test.equal;
  };
  return trap_when.empty() || std::any_of(trap_when.begin(), trap_when.end(), [&](const Conjunction& tests) {
           return std::all_of(tests.begin(), tests.end(), holds);
         });
}

SyscallTable& SyscallTable::mutable_instance() {
  static SyscallTable table;
  return table;
}

const SyscallTable& SyscallTable::instance() {
  return mutable_instance();
}

const SyscallDeclaration* SyscallTable::find(long number) const {
  if (number < 0 || number >= kSize) {
    return nullptr;
  }
  return declarations_[static_cast<std::size_t>(number)].get();
}

std::vector<const SyscallDeclaration*> SyscallTable::all() const {
  std::vector<const SyscallDeclaration*> calls;
  for (const auto& declaration : declarations_) {
    if (declaration != nullptr) {
      calls.push_back(declaration.get());
    }
  }
  return calls;
}

std::vector<std::string> SyscallTable::check() const {
  std::vector<std::string> problems;
  for (int number = 0; number < kSize; ++number) {
    const SyscallDeclaration* call = find(number);
    char* name = seccomp_syscall_resolve_num_arch(AUDIT_ARCH_X86_64, number);
    if (name != nullptr && call == nullptr) {
      problems.push_back(std::string(name) + " is not declared");
    }
    if (name != nullptr && call != nullptr && std::string_view(name) != call->name) {
      problems.push_back(std::string(name) + " is declared as " + call->name);
    }
    std::free(name);
  }
  return problems;
}

SyscallRegistration::SyscallRegistration(SyscallDeclaration declaration) {
  BEAM_CHECK(declaration.number >= 0 && declaration.number < SyscallTable::kSize);
  auto& slot = SyscallTable::mutable_instance().declarations_[static_cast<std::size_t>(declaration.number)];
  // An escalation may have been registered first, which leaves a declaration without a strategy of its own.
  Rewrite (*const escalation)(RewriteCall&, const RawArgs&) = slot != nullptr ? slot->rewrite : nullptr;
  BEAM_CHECK(slot == nullptr || slot->number < 0);
  slot = std::make_unique<SyscallDeclaration>(std::move(declaration));
  if (escalation != nullptr) {
    slot->rewrite = escalation;
  }
}

EscalationRegistration::EscalationRegistration(long number, Rewrite (*rewrite)(RewriteCall&, const RawArgs&)) {
  auto& table = SyscallTable::mutable_instance();
  auto& slot = table.declarations_[static_cast<std::size_t>(number)];
  if (slot == nullptr) {
    slot = std::make_unique<SyscallDeclaration>();
  }
  slot->rewrite = rewrite;
}

ListRegistration::ListRegistration(std::initializer_list<AllowedCall> calls) {
  for (const AllowedCall& call : calls) {
    SyscallDeclaration declaration;
    declaration.number = call.number;
    declaration.name = call.name;
    const SyscallRegistration registration(std::move(declaration));
  }
}

ListRegistration::ListRegistration(std::initializer_list<DeniedCall> calls) {
  for (const DeniedCall& call : calls) {
    SyscallDeclaration declaration;
    declaration.number = call.number;
    declaration.name = call.name;
    declaration.strategy = Strategy::kDeny;
    declaration.support = Support::kRefused;
    declaration.note = call.reason;
    declaration.deny_errno = call.error;
    declaration.deny_only_root = call.only_root;
    const SyscallRegistration registration(std::move(declaration));
  }
}

}  // namespace beam::interpose
