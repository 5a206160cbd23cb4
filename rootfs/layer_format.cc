#include "rootfs/layer_format.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "rootfs/host_file.h"

namespace beam::rootfs {
namespace {

constexpr const char* kMarkName = "user.beam.dir";
constexpr const char* kOriginName = "user.beam.from";
constexpr const char* kOwnerName = "user.beam.owner";
constexpr const char* kBaseName = "user.beam.base";

std::optional<std::string> read_attribute(const std::string& path, const char* name) {
  char value[8192];
  const ssize_t size = ::lgetxattr(path.c_str(), name, value, sizeof value);
  return size < 0 ? std::nullopt : std::optional(std::string(value, static_cast<std::size_t>(size)));
}

int write_attribute(int fd, const char* name, const std::string& value) {
  return ::setxattr(descriptor_path(fd).c_str(), name, value.data(), value.size(), 0) == 0 ? 0 : errno;
}

std::string entry_path(int directory, const std::string& name) {
  return descriptor_path(directory) + "/" + name;
}

// "123:rest"
std::int64_t take_number(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (error != std::errc() || !text.starts_with(':')) {
    text = {};
    return 0;
  }
  text.remove_prefix(1);
  return value;
}

}  // namespace

std::string escaped_name(std::string_view path) {
  std::string name;
  for (const char c : path) {
    name += c == '/' ? "%2F" : c == '%' ? "%25" : std::string(1, c);
  }
  return name;
}

std::string unescaped_name(std::string_view name) {
  std::string path;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const std::string_view code = name.substr(i, 3);
    if (code == "%2F" || code == "%25") {
      path += code == "%2F" ? '/' : '%';
      i += 2;
    } else {
      path += name[i];
    }
  }
  return path;
}

std::optional<Mark> read_mark(int directory) {
  char text[8192];
  const ssize_t size = ::getxattr(descriptor_path(directory).c_str(), kMarkName, text, sizeof text);
  const auto value = size < 0 ? std::nullopt : std::optional(std::string(text, static_cast<std::size_t>(size)));
  if (!value || value->size() < 2 || (*value)[1] != ':') {
    return std::nullopt;
  }
  Mark mark;
  mark.state = (*value)[0];
  std::string_view rest = std::string_view(*value).substr(2);
  mark.since = take_number(rest);
  mark.origin = rest;
  return mark;
}

int write_mark(int directory, const Mark& mark) {
  return write_attribute(directory, kMarkName,
                         std::string(1, mark.state) + ":" + std::to_string(mark.since) + ":" + mark.origin);
}

bool is_stub(const struct stat& status) {
  return (status.st_mode & 07777) == kStubMode && status.st_size == 0 && !S_ISDIR(status.st_mode);
}

std::string read_stub_origin(int directory, const std::string& name) {
  return read_attribute(entry_path(directory, name), kOriginName).value_or(std::string());
}

int write_stub_origin(int file, const std::string& origin) {
  return write_attribute(file, kOriginName, origin);
}

std::optional<std::pair<uid_t, gid_t>> read_owner(int directory, const std::string& name) {
  const auto value = read_attribute(entry_path(directory, name), kOwnerName);
  if (!value) {
    return std::nullopt;
  }
  std::string_view rest = *value;
  const std::int64_t uid = take_number(rest);
  const std::int64_t gid = take_number(rest);
  return std::pair{static_cast<uid_t>(uid), static_cast<gid_t>(gid)};
}

int write_owner(int file, uid_t uid, gid_t gid) {
  return write_attribute(file, kOwnerName, std::to_string(uid) + ":" + std::to_string(gid) + ":");
}

namespace {

Base parse_base(std::string_view value) {
  Base base;
  base.changed = take_number(value);
  base.origin = value;
  return base;
}

}  // namespace

std::optional<Base> read_base(int directory, const std::string& name) {
  const auto value = read_attribute(entry_path(directory, name), kBaseName);
  return value ? std::optional(parse_base(*value)) : std::nullopt;
}

std::optional<Base> read_base_of(int file) {
  char text[8192];
  const ssize_t size = ::getxattr(descriptor_path(file).c_str(), kBaseName, text, sizeof text);
  return size < 0 ? std::nullopt : std::optional(parse_base({text, static_cast<std::size_t>(size)}));
}

int write_base(int file, const Base& base) {
  return write_attribute(file, kBaseName, std::to_string(base.changed) + ":" + base.origin);
}

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

}  // namespace beam::rootfs
