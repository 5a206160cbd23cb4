// One declaration a system call, beside its handler, in one of the interpose/sys_*.cc: number, typed arguments,
// strategy, support level. The seccomp filter, the trace printer and the coverage list of `beam doctor --syscalls` are
// made from it.
//
//   BEAM_SYSCALL(getpgid, Strategy::kAnswer, PidArg pid) { ... return Answer::result(...); }
//
// A call that is declared twice, or a call of the kernel's table that is declared nowhere, stops the start (check()).
#pragma once

#include <sys/syscall.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "interpose/call.h"
#include "interpose/syscall_args.h"

namespace beam::interpose {

enum class Strategy {
  kAllow,         // nothing to translate: the kernel does it, and the filter lets it pass without a trap
  kAnswer,        // seccomp user notification: an answer thread does the work, or passes the call on, or escalates it
  kAnswerAtStop,  // the same handler, but at a ptrace stop on the event thread: for calls that make the caller stop
                  // anyway
  kRewrite,       // a ptrace stop: the event thread changes arguments, and results at a second stop
  kDeny,          // an errno, decided by the filter alone
};

enum class Support {
  kFull,     // behaves as on the workstation, in the sandbox's names
  kPartial,  // the note says what is missing
  kRefused,  // refused on purpose, as a kernel without the feature or the permission would
};

// When a call must be trapped at all: any one of the alternatives, each a conjunction of tests on arguments. Empty:
// always.
struct ArgTest {
  int arg;
  std::uint64_t mask;  // 32-bit arguments: tests see only what the mask leaves
  std::uint64_t value;
  bool equal = true;  // (arg & mask) == value, or != value
};
using Conjunction = std::vector<ArgTest>;
using TrapWhen = std::vector<Conjunction>;

constexpr std::uint64_t kInt = 0xffffffffULL;
inline ArgTest is(int arg, std::uint64_t value, std::uint64_t mask = kInt) {
  return {arg, mask, value & mask, true};
}
inline ArgTest is_not(int arg, std::uint64_t value, std::uint64_t mask = kInt) {
  return {arg, mask, value & mask, false};
}
// One alternative for each value.
TrapWhen one_of(int arg, const std::vector<std::uint64_t>& values, std::uint64_t mask = kInt);

struct SyscallDeclaration {
  long number = -1;
  const char* name = "";
  Strategy strategy = Strategy::kAllow;
  Support support = Support::kFull;
  const char* note = "";
  TrapWhen trap_when;
  int deny_errno = 0;
  bool deny_only_root = false;
  // Trapped only where the sandbox has a mount view; allowed elsewhere.
  bool view_only = false;
  // Whether the filter traps a call with these arguments.
  [[nodiscard]] bool traps(const RawArgs& args) const;
  Answer (*answer)(AnswerCall&, const RawArgs&) = nullptr;
  Rewrite (*rewrite)(RewriteCall&, const RawArgs&) = nullptr;  // also of an answered call that may escalate
  void (*print)(std::vector<std::string>&, const PrintContext&, const RawArgs&) = nullptr;  // one text an argument
};

class SyscallTable {
 public:
  static constexpr long kSize = 512;
  // The declarations of all sys_*.cc.
  static const SyscallTable& instance();
  // Null for a number that is no call of this kernel's ABI.
  [[nodiscard]] const SyscallDeclaration* find(long number) const;
  [[nodiscard]] std::vector<const SyscallDeclaration*> all() const;
  // What is wrong with the table, a line each: calls of the kernel's table without a declaration. Empty when all is
  // well.
  [[nodiscard]] std::vector<std::string> check() const;

 private:
  friend struct SyscallRegistration;
  friend struct EscalationRegistration;
  static SyscallTable& mutable_instance();
  std::array<std::unique_ptr<SyscallDeclaration>, kSize> declarations_{};
};

struct SyscallRegistration {
  explicit SyscallRegistration(SyscallDeclaration declaration);
};

template <Strategy>
struct StrategyTraits;
template <>
struct StrategyTraits<Strategy::kAnswer> {
  using Call = AnswerCall;
  using Result = Answer;
};
template <>
struct StrategyTraits<Strategy::kAnswerAtStop> : StrategyTraits<Strategy::kAnswer> {};
template <>
struct StrategyTraits<Strategy::kRewrite> {
  using Call = RewriteCall;
  using Result = Rewrite;
};

namespace detail {

template <typename Result, typename Call, typename... Args, std::size_t... I>
Result call_typed(Result (*handler)(Call&, Args...), Call& call, const RawArgs& raw, std::index_sequence<I...>) {
  return handler(call, ArgTraits<std::remove_cvref_t<Args>>::decode(raw[I])...);
}

template <typename... Args, std::size_t... I>
void print_typed(std::vector<std::string>& out, const PrintContext& context, const RawArgs& raw,
                 std::index_sequence<I...>) {
  (print_arg(out.emplace_back(), context, ArgTraits<std::remove_cvref_t<Args>>::decode(raw[I])), ...);
}

template <auto Handler>
struct Adapter;
template <typename Result, typename Call, typename... Args, Result (*Handler)(Call&, Args...)>
struct Adapter<Handler> {
  static Result run(Call& call, const RawArgs& raw) {
    return call_typed(Handler, call, raw, std::index_sequence_for<Args...>{});
  }
  static void print(std::vector<std::string>& out, const PrintContext& context, const RawArgs& raw) {
    print_typed<Args...>(out, context, raw, std::index_sequence_for<Args...>{});
  }
};

template <auto Handler, Strategy kStrategy>
SyscallDeclaration declare(long number, const char* name, TrapWhen trap_when = {}, Support support = Support::kFull,
                           const char* note = "") {
  SyscallDeclaration declaration;
  declaration.number = number;
  declaration.name = name;
  declaration.strategy = kStrategy;
  declaration.support = support;
  declaration.note = note;
  declaration.trap_when = std::move(trap_when);
  if constexpr (kStrategy == Strategy::kAnswer || kStrategy == Strategy::kAnswerAtStop) {
    declaration.answer = &Adapter<Handler>::run;
  } else {
    declaration.rewrite = &Adapter<Handler>::run;
  }
  declaration.print = &Adapter<Handler>::print;
  return declaration;
}

inline SyscallDeclaration of_view(SyscallDeclaration declaration) {
  declaration.view_only = true;
  return declaration;
}

}  // namespace detail

#define BEAM_SYSCALL_DECLARE_(name, strategy, conditions, support, note, ...)                                 \
  static StrategyTraits<strategy>::Result beam_sys_##name(StrategyTraits<strategy>::Call& call __VA_OPT__(, ) \
                                                              __VA_ARGS__);                                   \
  static const SyscallRegistration beam_registration_##name(                                                  \
      detail::declare<&beam_sys_##name, strategy>(SYS_##name, #name, conditions, support, note));             \
  static StrategyTraits<strategy>::Result beam_sys_##name(                                                    \
      [[maybe_unused]] StrategyTraits<strategy>::Call& call __VA_OPT__(, ) __VA_ARGS__)

#define BEAM_SYSCALL(name, strategy, ...) \
  BEAM_SYSCALL_DECLARE_(name, strategy, TrapWhen{}, Support::kFull, "" __VA_OPT__(, ) __VA_ARGS__)
// Trapped only when `conditions` (a TrapWhen expression, in parentheses) hold.
#define BEAM_SYSCALL_WHEN(name, strategy, conditions, ...) \
  BEAM_SYSCALL_DECLARE_(name, strategy, conditions, Support::kFull, "" __VA_OPT__(, ) __VA_ARGS__)
// Trapped only where the sandbox has a mount view.
#define BEAM_VIEW_SYSCALL(name, ...) \
  BEAM_VIEW_SYSCALL_WHEN(            \
      name, TrapWhen {} __VA_OPT__(, ) __VA_ARGS__)
#define BEAM_VIEW_SYSCALL_WHEN(name, conditions, ...)                                                        \
  static Answer beam_sys_##name(AnswerCall& call __VA_OPT__(, ) __VA_ARGS__);                                \
  static const SyscallRegistration beam_registration_##name(                                                 \
      detail::of_view(detail::declare<&beam_sys_##name, Strategy::kAnswer>(SYS_##name, #name, conditions))); \
  static Answer beam_sys_##name([[maybe_unused]] AnswerCall& call __VA_OPT__(, ) __VA_ARGS__)
// The part of an answered call that an escalation runs on the event thread.
#define BEAM_ESCALATED(name, ...)                                                     \
  static Rewrite beam_escalated_##name(RewriteCall& call __VA_OPT__(, ) __VA_ARGS__); \
  static const EscalationRegistration beam_escalation_registration_##name(            \
      SYS_##name, &detail::Adapter<&beam_escalated_##name>::run);                     \
  static Rewrite beam_escalated_##name([[maybe_unused]] RewriteCall& call __VA_OPT__(, ) __VA_ARGS__)

struct EscalationRegistration {
  EscalationRegistration(long number, Rewrite (*rewrite)(RewriteCall&, const RawArgs&));
};

// Calls with nothing to translate, and calls that are refused, are lists of names.
struct AllowedCall {
  long number;
  const char* name;
};
struct DeniedCall {
  long number;
  const char* name;
  int error;
  const char* reason;
  bool only_root = false;  // left to the kernel where that refuses it to this user anyway
};
struct ListRegistration {
  ListRegistration(std::initializer_list<AllowedCall> calls);
  ListRegistration(std::initializer_list<DeniedCall> calls);
};

}  // namespace beam::interpose
