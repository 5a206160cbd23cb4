// What an image has in common with an earlier one of the same sandbox, so that only the rest has to be carried over.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace beam::runtime {

// A file in memory, mapped for reading. It must not shrink meanwhile.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();
  [[nodiscard]] std::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile(const char* data, std::size_t size) : data_(data), size_(size) {}
  const char* data_;
  std::size_t size_;
};

// Part of a file, in bytes.
struct Difference {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};
// Pages of `now` that differ from what `was` has in the same place, neighbours together; none are longer than
// `longest`.
[[nodiscard]] std::vector<Difference> differences(std::string_view was, std::string_view now, std::uint64_t longest);

// The pages of an image that the other side has.
class ImageBase {
 public:
  static constexpr std::size_t kPage = 4096;

  struct Place {
    std::size_t file = 0;  // in names()
    std::uint64_t offset = 0;
  };

  // Of the image in `directory`, or of one file of it; the other side has its files as `prefix` and their name.
  static Result<ImageBase> open(const std::string& directory, const std::string& prefix, const std::string& only = "");

  // Calls one of both for each part of `bytes`, in order: `known` for what is found in this base, `fresh` for the rest.
  // Stops at the first error.
  Result<> split(std::string_view bytes,
                 const std::function<Result<>(const std::string&, std::uint64_t, std::uint64_t)>& known,
                 const std::function<Result<>(std::string_view)>& fresh) const;

 private:
  [[nodiscard]] bool has(const Place& place, std::string_view page) const;
  [[nodiscard]] const Place* find(std::string_view page) const;

  std::vector<std::string> names_;
  std::vector<MappedFile> files_;
  std::unordered_map<std::uint64_t, Place> pages_;  // by XXH3; of equal ones any
};

}  // namespace beam::runtime
