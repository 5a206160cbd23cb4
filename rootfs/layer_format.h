// How a private layer lies on the disk: what an extended attribute, a mode or a name in it means. The layer of the root
// is in "root", those of other mounts in "mounts", and "control" has what the view needs besides.
//
// A directory with a mark is, or was, the workstation's; its state is that of view_tree.h. A file of mode 07000 is a
// stub. Stubs of one type are links to one file, as making a file costs far more than a link to it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace beam::rootfs {

inline constexpr const char* kRootLayer = "root";
inline constexpr const char* kMountLayers = "mounts";
inline constexpr const char* kControl = "control";
inline constexpr mode_t kStubMode = 07400;

// "/a%b" as one name: "%2Fa%25b".
[[nodiscard]] std::string escaped_name(std::string_view path);
[[nodiscard]] std::string unescaped_name(std::string_view name);

struct Mark {
  char state = 'L';        // L: kLower, P: kPartial, C: kComplete
  std::string origin;      // on the workstation, without the leading slash
  std::int64_t since = 0;  // of a complete one: when it was completed, in ns of CLOCK_REALTIME_COARSE
};
[[nodiscard]] std::optional<Mark> read_mark(int directory);
[[nodiscard]] int write_mark(int directory, const Mark& mark);

[[nodiscard]] bool is_stub(const struct stat& status);
// Empty: of the same name in the directory's origin.
[[nodiscard]] std::string read_stub_origin(int directory, const std::string& name);
[[nodiscard]] int write_stub_origin(int file, const std::string& origin);

// Whose file it shows to be.
[[nodiscard]] std::optional<std::pair<uid_t, gid_t>> read_owner(int directory, const std::string& name);
[[nodiscard]] int write_owner(int file, uid_t uid, gid_t gid);

// Of a copy: what the workstation's file was when it was copied, so that a later change of that one is seen.
struct Base {
  std::string origin;
  std::int64_t changed = 0;  // its ctime in ns
};
[[nodiscard]] std::optional<Base> read_base(int directory, const std::string& name);
// The same by a descriptor of the copy.
[[nodiscard]] std::optional<Base> read_base_of(int file);
[[nodiscard]] int write_base(int file, const Base& base);

[[nodiscard]] std::int64_t nanoseconds(const timespec& time);

}  // namespace beam::rootfs
