// The encoding of messages between `beam` and its supervisors: cereal over a byte string in the machine's own byte
// order (both ends are on one machine). Holds: decoding never reads past the input and never makes room for more
// elements than the input has bytes left.
#pragma once

#include <cereal/cereal.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <cstring>
#include <string>
#include <string_view>

#include "base/result.h"

namespace beam::runtime {

class WireWriter : public cereal::OutputArchive<WireWriter, cereal::AllowEmptyClassElision> {
 public:
  WireWriter() : OutputArchive(this) {}
  void write(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class WireReader : public cereal::InputArchive<WireReader, cereal::AllowEmptyClassElision> {
 public:
  explicit WireReader(std::string_view bytes) : InputArchive(this), bytes_(bytes) {}
  void read(void* data, std::size_t size) {
    if (size > bytes_.size()) {
      throw cereal::Exception("message too short");
    }
    std::memcpy(data, bytes_.data(), size);
    bytes_.remove_prefix(size);
  }
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

template <typename T>
std::enable_if_t<std::is_arithmetic_v<T>> CEREAL_SAVE_FUNCTION_NAME(WireWriter& archive, const T& value) {
  archive.write(&value, sizeof value);
}
template <typename T>
std::enable_if_t<std::is_arithmetic_v<T>> CEREAL_LOAD_FUNCTION_NAME(WireReader& archive, T& value) {
  archive.read(&value, sizeof value);
}
template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(WireWriter& archive, const cereal::BinaryData<T>& data) {
  archive.write(data.data, static_cast<std::size_t>(data.size));
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(WireReader& archive, cereal::BinaryData<T>& data) {
  archive.read(data.data, static_cast<std::size_t>(data.size));
}
template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(WireWriter& archive, const cereal::SizeTag<T>& tag) {
  archive(tag.size);
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(WireReader& archive, cereal::SizeTag<T>& tag) {
  archive(tag.size);
  if (tag.size > archive.left()) {
    throw cereal::Exception("count beyond the message");
  }
}

template <typename Message>
std::string encode(const Message& message) {
  WireWriter writer;
  writer(message);
  return writer.take();
}

// EPROTO for anything but exactly one Message.
template <typename Message>
Result<Message> decode(std::string_view bytes) {
  try {
    WireReader reader(bytes);
    Message message;
    reader(message);
    if (reader.left() != 0) {
      return Error(EPROTO, "decode a message");
    }
    return message;
  } catch (const cereal::Exception&) {
    return Error(EPROTO, "decode a message");
  }
}

}  // namespace beam::runtime

CEREAL_REGISTER_ARCHIVE(beam::runtime::WireWriter)
CEREAL_REGISTER_ARCHIVE(beam::runtime::WireReader)
CEREAL_SETUP_ARCHIVE_TRAITS(beam::runtime::WireReader, beam::runtime::WireWriter)
