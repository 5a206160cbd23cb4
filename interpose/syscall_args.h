// Typed arguments of system calls: how each is decoded from its register, and how the trace prints it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "base/ids.h"
#include "interpose/guest_memory.h"

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

void print_signed(std::string& out, std::int64_t value);
void print_unsigned(std::string& out, std::uint64_t value);
void print_pointer(std::string& out, std::uint64_t value);
void print_arg(std::string& out, const GuestMemory& memory, GuestPath path);
void print_arg(std::string& out, const GuestMemory& memory, GuestFd fd);
void print_arg(std::string& out, const GuestMemory& memory, OpenFlags flags);
void print_arg(std::string& out, const GuestMemory& memory, AtFlags flags);
void print_arg(std::string& out, const GuestMemory& memory, Mode mode);
void print_arg(std::string& out, const GuestMemory& memory, Signal signal);
void print_arg(std::string& out, const GuestMemory& memory, CloneFlags flags);
void print_arg(std::string& out, const GuestMemory& memory, PidArg pid);

template <typename T>
void print_arg(std::string& out, const GuestMemory& /*memory*/, RemotePtr<T> pointer) {
  print_pointer(out, pointer.address());
}
template <typename T>
requires std::is_integral_v<T>
void print_arg(std::string& out, const GuestMemory& /*memory*/, T value) {
  if constexpr (std::is_signed_v<T>) {
    print_signed(out, value);
  } else {
    print_unsigned(out, value);
  }
}

}  // namespace beam::interpose
