#include "runtime/tree_compare.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>

namespace beam::runtime {
namespace {

using std::filesystem::path;

Result<std::set<std::string>> names_below(const path& root) {
  std::set<std::string> names;
  std::error_code fault;
  for (std::filesystem::recursive_directory_iterator entry(root, fault), end; !fault && entry != end;
       entry.increment(fault)) {
    names.insert(entry->path().lexically_relative(root).string());
  }
  if (fault) {
    return Error(fault.value(), "read " + root.string());
  }
  return names;
}

Result<std::optional<std::string>> entry_difference(const path& one, const path& other) {
  std::error_code fault;
  const auto left = std::filesystem::symlink_status(one, fault);
  const auto right = std::filesystem::symlink_status(other, fault);
  if (left.type() != right.type()) {
    return std::optional<std::string>("is of another type");
  }
  if (left.permissions() != right.permissions()) {
    return std::optional<std::string>("has other permissions");
  }
  if (left.type() == std::filesystem::file_type::symlink &&
      std::filesystem::read_symlink(one, fault) != std::filesystem::read_symlink(other, fault)) {
    return std::optional<std::string>("leads elsewhere");
  }
  if (left.type() == std::filesystem::file_type::regular) {
    return first_difference(one, other);
  }
  return std::optional<std::string>();
}

}  // namespace

Result<std::optional<std::string>> first_difference(const std::string& one, const std::string& other) {
  std::ifstream left(one, std::ios::binary);
  std::ifstream right(other, std::ios::binary);
  if (!left || !right) {
    return Error(EACCES, "read " + (left ? other : one));
  }
  std::array<char, 65536> a{};
  std::array<char, 65536> b{};
  std::uint64_t at = 0;
  for (;;) {
    left.read(a.data(), a.size());
    right.read(b.data(), b.size());
    const auto common = static_cast<std::size_t>(std::min(left.gcount(), right.gcount()));
    const auto split = std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common), b.begin());
    if (split.first != a.begin() + static_cast<std::ptrdiff_t>(common) || left.gcount() != right.gcount()) {
      return std::optional("differs at byte " +
                           std::to_string(at + static_cast<std::uint64_t>(split.first - a.begin())));
    }
    if (common == 0) {
      return std::optional<std::string>();
    }
    at += common;
  }
}

Result<std::optional<std::string>> first_tree_difference(const std::string& one, const std::string& other) {
  BEAM_TRY_ASSIGN(auto names, names_below(one));
  BEAM_TRY_ASSIGN(auto others, names_below(other));
  names.merge(others);
  for (const std::string& name : names) {
    std::error_code fault;
    const bool left =
        std::filesystem::symlink_status(path(one) / name, fault).type() != std::filesystem::file_type::not_found;
    const bool right =
        std::filesystem::symlink_status(path(other) / name, fault).type() != std::filesystem::file_type::not_found;
    if (left != right) {
      return std::optional("file " + name + ": is there only " + (left ? "natively" : "moved"));
    }
    BEAM_TRY_ASSIGN(const auto difference, entry_difference(path(one) / name, path(other) / name));
    if (difference) {
      return std::optional("file " + name + ": " + *difference);
    }
  }
  return std::optional<std::string>();
}

}  // namespace beam::runtime
