// Typed arguments of system calls: how each is decoded from its register, and how the trace prints it.
#pragma once

#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/ids.h"
#include "interpose/guest_memory.h"
#include "ns/pid_space.h"

namespace beam::interpose {

using RawArgs = std::array<std::uint64_t, 6>;

// Arguments whose C type is an integer but whose meaning is not a number.
template <typename Tag, typename Rep>
struct Argument {
  Rep value;
};
using GuestPath = RemotePtr<struct GuestPathTag>;  // a path in the caller's memory
using OpenFlags = Argument<struct OpenFlagsTag, int>;
using AtFlags = Argument<struct AtFlagsTag, int>;
using Mode = Argument<struct ModeTag, mode_t>;
using Signal = Argument<struct SignalTag, int>;
using CloneFlags = Argument<struct CloneFlagsTag, std::uint64_t>;
// A pid argument: positive, 0 or negative forms keep their meaning in the call's man page; names are virtual.
using PidArg = Argument<struct PidArgTag, pid_t>;
using WaitOptions = Argument<struct WaitOptionsTag, int>;
using WaitIdType = Argument<struct WaitIdTypeTag, int>;
using PrctlOption = Argument<struct PrctlOptionTag, int>;
using ClockName = Argument<struct ClockNameTag, int>;
using Resource = Argument<struct ResourceTag, int>;
using SchedPolicy = Argument<struct SchedPolicyTag, int>;
using PriorityWhich = Argument<struct PriorityWhichTag, int>;

// What stands behind some pointers, where the C type does not say it.
struct WaitStatus {
  int value;
};
struct SignalSet {
  std::uint64_t bits;
};
struct CString;  // an array of pointers to strings: argv

// A pointer to what the call fills: the trace shows it at the call's end.
template <typename T>
class OutPtr : public RemotePtr<T> {
 public:
  using RemotePtr<T>::RemotePtr;
};

template <typename T>
struct ArgTraits {
  static T decode(std::uint64_t raw) {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(raw);
    } else {
      return T{static_cast<decltype(T::value)>(raw)};
    }
  }
};
template <typename Tag, typename Rep>
struct ArgTraits<StrongId<Tag, Rep>> {
  static StrongId<Tag, Rep> decode(std::uint64_t raw) { return StrongId<Tag, Rep>(static_cast<Rep>(raw)); }
};
template <typename T>
struct ArgTraits<RemotePtr<T>> {
  static RemotePtr<T> decode(std::uint64_t raw) { return RemotePtr<T>(raw); }
};

template <typename T>
struct ArgTraits<OutPtr<T>> {
  static OutPtr<T> decode(std::uint64_t raw) { return OutPtr<T>(raw); }
};

// What a printer may ask: the caller's memory, whose host id stands behind a virtual one, and how the call ended.
struct PrintContext {
  GuestMemory memory;
  const ns::PidSpace* pids = nullptr;
  bool at_exit = false;
  std::int64_t result = 0;
};
// Stands for an argument that can be printed only at the call's end.
constexpr char kLater = '\1';

void print_signed(std::string& out, std::int64_t value);
void print_unsigned(std::string& out, std::uint64_t value);
void print_pointer(std::string& out, std::uint64_t value);
void print_arg(std::string& out, const PrintContext& context, GuestPath path);
void print_arg(std::string& out, const PrintContext& context, GuestFd fd);
void print_arg(std::string& out, const PrintContext& context, OpenFlags flags);
void print_arg(std::string& out, const PrintContext& context, AtFlags flags);
void print_arg(std::string& out, const PrintContext& context, Mode mode);
void print_arg(std::string& out, const PrintContext& context, Signal signal);
void print_arg(std::string& out, const PrintContext& context, CloneFlags flags);
void print_arg(std::string& out, const PrintContext& context, PidArg pid);
void print_arg(std::string& out, const PrintContext& context, WaitOptions options);
void print_arg(std::string& out, const PrintContext& context, WaitIdType type);
void print_arg(std::string& out, const PrintContext& context, PrctlOption option);
void print_arg(std::string& out, const PrintContext& context, ClockName clock);
void print_arg(std::string& out, const PrintContext& context, Resource resource);
void print_arg(std::string& out, const PrintContext& context, SchedPolicy policy);
void print_arg(std::string& out, const PrintContext& context, PriorityWhich which);
void print_arg(std::string& out, const PrintContext& context, RemotePtr<CString> strings);

// What stands behind a pointer (interpose/trace_values.cc).
void print_value(std::string& out, const PrintContext& context, const timespec& value);
void print_value(std::string& out, const PrintContext& context, const siginfo_t& value);
void print_value(std::string& out, const PrintContext& context, const sched_param& value);
void print_value(std::string& out, const PrintContext& context, const rlimit& value);
void print_value(std::string& out, const PrintContext& context, const rusage& value);
void print_value(std::string& out, const PrintContext& context, const utsname& value);
void print_value(std::string& out, const PrintContext& context, const struct sysinfo& value);
void print_value(std::string& out, const PrintContext& context, const clone_args& value);
void print_value(std::string& out, const PrintContext& context, const sigevent& value);
void print_value(std::string& out, const PrintContext& context, const WaitStatus& value);
void print_value(std::string& out, const PrintContext& context, const SignalSet& value);
void print_value(std::string& out, const PrintContext& context, const __user_cap_header_struct& value);
void print_value(std::string& out, const PrintContext& context, const int& value);

template <typename T>
concept Printable = requires(std::string& out, const PrintContext& context, const T& value) {
  print_value(out, context, value);
};

template <typename T>
void print_pointee(std::string& out, const PrintContext& context, const RemotePtr<T>& pointer) {
  if constexpr (Printable<T>) {
    T value{};
    if (pointer && context.memory.read(pointer, value) == 0) {
      print_value(out, context, value);
      return;
    }
  }
  print_pointer(out, pointer.address());
}

template <typename T>
void print_arg(std::string& out, const PrintContext& context, RemotePtr<T> pointer) {
  print_pointee(out, context, pointer);
}
template <typename T>
void print_arg(std::string& out, const PrintContext& context, OutPtr<T> pointer) {
  if (!context.at_exit) {
    out += kLater;
  } else if (context.result < 0) {
    print_pointer(out, pointer.address());
  } else {
    print_pointee(out, context, static_cast<const RemotePtr<T>&>(pointer));
  }
}
template <typename T>
requires std::is_integral_v<T>
void print_arg(std::string& out, const PrintContext& /*context*/, T value) {
  if constexpr (std::is_signed_v<T>) {
    print_signed(out, value);
  } else {
    print_unsigned(out, value);
  }
}

// Names of bits, joined by "|", and what is left of the value in hexadecimal.
struct FlagName {
  std::uint64_t bit;
  const char* text;
};
void print_flags(std::string& out, std::uint64_t value, std::span<const FlagName> names, bool started = false);
// As strace quotes strings.
void print_quoted(std::string& out, std::string_view text);

}  // namespace beam::interpose
