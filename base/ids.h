// Names that must not be mixed up: each is a type of its own and never converts into another by itself.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <functional>

namespace beam {

template <typename Tag, typename Rep>
class StrongId {
 public:
  using rep = Rep;
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}
  [[nodiscard]] constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const StrongId&) const = default;

 private:
  Rep value_{};
};

// A process or thread id as programs of the sandbox see it. 0 means none (a parent outside, "myself" in arguments).
using VirtualPid = StrongId<struct VirtualPidTag, pid_t>;
// A process or thread id as the kernel of this workstation knows it, in the supervisor's PID namespace.
using HostPid = StrongId<struct HostPidTag, pid_t>;
// A descriptor number in a process of the sandbox.
using GuestFd = StrongId<struct GuestFdTag, int>;

// An address in the memory of a process of the sandbox. T is what stands there.
template <typename T>
class RemotePtr {
 public:
  constexpr RemotePtr() = default;
  constexpr explicit RemotePtr(std::uint64_t address) : address_(address) {}
  [[nodiscard]] constexpr std::uint64_t address() const { return address_; }
  constexpr explicit operator bool() const { return address_ != 0; }
  template <typename U>
  [[nodiscard]] constexpr RemotePtr<U> cast() const {
    return RemotePtr<U>(address_);
  }
  [[nodiscard]] constexpr RemotePtr operator+(std::int64_t bytes) const {
    return RemotePtr(address_ + static_cast<std::uint64_t>(bytes));
  }
  constexpr auto operator<=>(const RemotePtr&) const = default;

 private:
  std::uint64_t address_ = 0;
};

}  // namespace beam

template <typename Tag, typename Rep>
struct std::hash<beam::StrongId<Tag, Rep>> {
  std::size_t operator()(const beam::StrongId<Tag, Rep>& id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
