// The host's failures as values. Result<T> holds a T or an Error that names the errno, the operation, the object and, where
// there is one, the remedy; context is added on the way up, so that the last line names the thing.
#pragma once

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace beam {

class [[nodiscard]] Error {
 public:
  // `code` is an errno value, 0 where none fits, or below 0 one of Beam's own that a caller tells apart. `what` reads as "operation object", for example "open /proc/7/maps".
  Error(int code, std::string what) : code_(code), what_(std::move(what)) {}

  // The error of the system call that just failed.
  static Error from_errno(std::string what) { return {errno, std::move(what)}; }

  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] const std::string& what() const { return what_; }
  // "what: strerror", with the remedy after a semicolon.
  [[nodiscard]] std::string message() const;

  // Prefixes the name of what was being done: "freeze web: open /proc/7/maps: Permission denied".
  Error&& context(const std::string& outer) &&;
  Error&& remedy(std::string text) &&;

 private:
  int code_;
  std::string what_;
  std::string remedy_;
};

struct Unit {};

template <typename T = Unit>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}   // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

  Result&& context(const std::string& outer) && {
    if (!ok()) {
      std::get<1>(state_) = std::move(std::get<1>(state_)).context(outer);
    }
    return std::move(*this);
  }

 private:
  std::variant<T, Error> state_;
};

inline Result<> success() { return Result<>(Unit{}); }

#define BEAM_CONCAT_(a, b) a##b
#define BEAM_CONCAT(a, b) BEAM_CONCAT_(a, b)

// BEAM_TRY(expr): returns the error of a Result<> from the enclosing function.
#define BEAM_TRY(expr)                                \
  do {                                                \
    auto beam_try_result = (expr);                    \
    if (!beam_try_result.ok()) {                      \
      return std::move(beam_try_result).error();      \
    }                                                 \
  } while (false)

// BEAM_TRY_ASSIGN(auto x, expr): the same, and binds the value otherwise.
#define BEAM_TRY_ASSIGN(lhs, expr) BEAM_TRY_ASSIGN_(BEAM_CONCAT(beam_try_, __LINE__), lhs, expr)
#define BEAM_TRY_ASSIGN_(tmp, lhs, expr)   \
  auto tmp = (expr);                       \
  if (!tmp.ok()) {                         \
    return std::move(tmp).error();         \
  }                                        \
  lhs = std::move(tmp).value()

}  // namespace beam
