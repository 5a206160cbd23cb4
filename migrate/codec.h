// Encoding of state structs (fields.h) into bytes and back, by archives of cereal's kind.
//
// Little-endian, fixed width. A struct is its version and then its fields, so an older image decodes for ever, and a newer
// one is refused as such. Decoding is bounded by what is there: a count is never believed beyond the bytes that follow it,
// nothing is allocated ahead of what has been read, and an enumeration or a boolean out of range is an error.
#pragma once

#include <cereal/cereal.hpp>
#include <cereal/types/array.hpp>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "migrate/fields.h"

namespace beam::migrate {

// Code of the errors that say that an image is damaged, as opposed to not there or not readable.
inline constexpr int kDamaged = -1;

class StateWriter : public cereal::OutputArchive<StateWriter, cereal::AllowEmptyClassElision> {
 public:
  StateWriter() : OutputArchive(this) {}
  void write(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class StateReader : public cereal::InputArchive<StateReader, cereal::AllowEmptyClassElision> {
 public:
  explicit StateReader(std::string_view bytes) : InputArchive(this), bytes_(bytes) {}
  void read(void* data, std::size_t size) {
    check(size <= bytes_.size(), "it ends early");
    std::memcpy(data, bytes_.data(), size);
    bytes_.remove_prefix(size);
  }
  // A count of things that take at least `each` bytes.
  [[nodiscard]] std::size_t count(std::size_t each) {
    std::uint64_t value = 0;
    read(&value, sizeof value);
    check(value <= bytes_.size() / each, "a count is larger than what follows");
    return static_cast<std::size_t>(value);
  }
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }
  // Structs hold structs, but no state of ours nests deeply.
  void enter() { check(++depth_ <= kDeepest, "it nests too deeply"); }
  void leave() { --depth_; }

  static void check(bool good, const char* what) {
    if (!good) {
      throw cereal::Exception(what);
    }
  }

 private:
  static constexpr int kDeepest = 32;
  std::string_view bytes_;
  int depth_ = 0;
};

template <typename T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
void CEREAL_SAVE_FUNCTION_NAME(StateWriter& archive, const T& value) {
  archive.write(&value, sizeof value);
}
template <typename T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
void CEREAL_LOAD_FUNCTION_NAME(StateReader& archive, T& value) {
  archive.read(&value, sizeof value);
}

inline void CEREAL_SAVE_FUNCTION_NAME(StateWriter& archive, const bool& value) {
  const std::uint8_t byte = value ? 1 : 0;
  archive.write(&byte, 1);
}
inline void CEREAL_LOAD_FUNCTION_NAME(StateReader& archive, bool& value) {
  std::uint8_t byte = 0;
  archive.read(&byte, 1);
  StateReader::check(byte <= 1, "a truth value is neither 0 nor 1");
  value = byte != 0;
}

inline void CEREAL_SAVE_FUNCTION_NAME(StateWriter& archive, const std::string& text) {
  archive(static_cast<std::uint64_t>(text.size()));
  archive.write(text.data(), text.size());
}
inline void CEREAL_LOAD_FUNCTION_NAME(StateReader& archive, std::string& text) {
  text.resize(archive.count(1));
  archive.read(text.data(), text.size());
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(StateWriter& archive, const std::vector<T>& list) {
  archive(static_cast<std::uint64_t>(list.size()));
  if constexpr (std::is_arithmetic_v<T>) {
    archive.write(list.data(), list.size() * sizeof(T));
  } else {
    for (const T& item : list) {
      archive(item);
    }
  }
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(StateReader& archive, std::vector<T>& list) {
  list.clear();
  if constexpr (std::is_arithmetic_v<T>) {
    list.resize(archive.count(sizeof(T)));
    archive.read(list.data(), list.size() * sizeof(T));
  } else {
    const std::size_t count = archive.count(1);
    for (std::size_t i = 0; i < count; ++i) {
      archive(list.emplace_back());
    }
  }
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(StateWriter& archive, const std::optional<T>& value) {
  archive(value.has_value());
  if (value) {
    archive(*value);
  }
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(StateReader& archive, std::optional<T>& value) {
  bool present = false;
  archive(present);
  value.reset();
  if (present) {
    archive(value.emplace());
  }
}

// A field that is an enumeration: its last enumerator is kLast, and it has no holes.
template <typename T>
void save_field(StateWriter& archive, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    archive(static_cast<std::uint8_t>(value));
  } else {
    archive(value);
  }
}
template <typename T>
void load_field(StateReader& archive, T& value) {
  if constexpr (std::is_enum_v<T>) {
    std::uint8_t number = 0;
    archive(number);
    StateReader::check(number <= static_cast<std::uint8_t>(T::kLast), "an enumeration is out of range");
    value = static_cast<T>(number);
  } else {
    archive(value);
  }
}

template <State T>
void CEREAL_SAVE_FUNCTION_NAME(StateWriter& archive, const T& state) {
  archive(static_cast<std::uint16_t>(StateFields<T>::kVersion));
  for_each_field<T>(state, [&](const char*, const auto& value, int) { save_field(archive, value); });
}
template <State T>
void CEREAL_LOAD_FUNCTION_NAME(StateReader& archive, T& state) {
  std::uint16_t version = 0;
  archive(version);
  StateReader::check(version >= 1, "a version is 0");
  StateReader::check(version <= StateFields<T>::kVersion, "it was written by a newer Beam");
  archive.enter();
  for_each_field<T>(state, [&](const char*, auto& value, int since) {
    if (since <= version) {
      load_field(archive, value);
    }
  });
  archive.leave();
}

template <State T>
[[nodiscard]] std::string encode(const T& state) {
  StateWriter writer;
  writer(state);
  return writer.take();
}

// kDamaged for anything but exactly one T; the error says what is wrong.
template <State T>
[[nodiscard]] Result<T> decode(std::string_view bytes) {
  try {
    StateReader reader(bytes);
    T state;
    reader(state);
    StateReader::check(reader.left() == 0, "something follows its end");
    return state;
  } catch (const cereal::Exception& fault) {
    return Error(kDamaged, fault.what());
  }
}

}  // namespace beam::migrate

CEREAL_REGISTER_ARCHIVE(beam::migrate::StateWriter)
CEREAL_REGISTER_ARCHIVE(beam::migrate::StateReader)
CEREAL_SETUP_ARCHIVE_TRAITS(beam::migrate::StateReader, beam::migrate::StateWriter)
