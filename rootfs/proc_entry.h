// Which paths lead into /proc: a first look, cheap enough for every path call.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace beam::rootfs {

// Takes the next component off `path`, with the slashes before it. Empty at the end.
[[nodiscard]] std::string_view next_component(std::string_view& path);
// Whether `name` is a number, as the names of processes are.
[[nodiscard]] bool all_digits(std::string_view name);

// The rest of `path` behind its first way into /proc, judged by its letters: "" for /proc itself, "self/fd" for
// "//proc/./self/fd". Nothing when it does not lead there. `prefix` gets the length of the part that leads into /proc
// when that part has a "..", which a symbolic link before it turns elsewhere; 0 otherwise.
[[nodiscard]] std::optional<std::string_view> enter_proc(std::string_view path, std::size_t& prefix);

// The same by the file system, symbolic links on the way included: `base` is the workstation's absolute path of the
// directory that a relative `path` starts from. Nothing also for a path that leads nowhere.
[[nodiscard]] std::optional<std::string> enter_proc_by_links(std::string_view base, std::string_view path, bool follow);

// True for the target of a new symbolic link by which paths may come to lead into /proc.
[[nodiscard]] bool link_may_lead_to_proc(std::string_view target);

// True for a relative path that, looked up in a directory of /proc, may mean something else in the sandbox than on the
// workstation. The directory can be a listing, which has the names of /proc but nothing behind them.
[[nodiscard]] bool relative_may_concern_proc(std::string_view path, const std::vector<std::string>& names_of_root);

}  // namespace beam::rootfs
