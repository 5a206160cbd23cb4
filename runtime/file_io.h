// Small whole files.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace beam::runtime {

// EFBIG when there is more than `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);
// A new file, 0600; EEXIST when there is one.
Result<> write_file(const std::string& path, std::string_view content);
// By a rename, so that a reader sees the old or the new content.
Result<> replace_file(const std::string& path, std::string_view content);
// All of it, over short writes and interruptions.
Result<> write_all(int fd, std::string_view content);

}  // namespace beam::runtime
