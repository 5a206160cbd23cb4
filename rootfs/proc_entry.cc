#include "rootfs/proc_entry.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace beam::rootfs {
namespace {

constexpr int kMostLinks = 40;  // MAXSYMLINKS, linux/namei.h

}  // namespace

std::string_view next_component(std::string_view& path) {
  const auto begin = std::min(path.find_first_not_of('/'), path.size());
  const auto end = std::min(path.find('/', begin), path.size());
  const std::string_view component = path.substr(begin, end - begin);
  path.remove_prefix(end);
  return component;
}

bool all_digits(std::string_view name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<std::string_view> enter_proc(std::string_view path, std::size_t& prefix) {
  prefix = 0;
  if (path.empty() || path[0] != '/') {
    return std::nullopt;
  }
  // Most paths have another first component, and no "..".
  std::string_view left = path;
  bool up = false;
  int depth = 0;
  bool in_first = false;  // the component at depth 1 is "proc"
  for (;;) {
    const std::string_view name = next_component(left);
    if (name.empty()) {
      return std::nullopt;
    }
    if (name == ".") {
      continue;
    }
    if (name == "..") {
      up = true;
      depth = std::max(depth - 1, 0);
    } else {
      if (++depth == 1) {
        in_first = name == "proc";
      }
    }
    if (depth == 1 && in_first) {
      prefix = up ? path.size() - left.size() : 0;
      return left;
    }
    if (!up && depth == 1 && left.find("..") == std::string_view::npos) {
      return std::nullopt;
    }
  }
}

std::optional<std::string> enter_proc_by_links(std::string_view base, std::string_view path, bool follow) {
  std::string at(path.starts_with('/') ? "" : base == "/" ? "" : base);
  std::string todo(path);
  int links = 0;
  while (true) {
    std::string_view left = todo;
    const std::string name(next_component(left));
    if (name.empty()) {
      return std::nullopt;
    }
    const bool last = left.empty();
    if (name == "..") {
      at.resize(at.empty() ? 0 : at.rfind('/'));
    } else if (name != ".") {
      std::string next = at;
      next += '/';
      next += name;
      if (next == "/proc") {
        return std::string(left);
      }
      if (last && !follow) {
        return std::nullopt;
      }
      char target[PATH_MAX];
      const ssize_t size = ::readlink(next.c_str(), target, sizeof target);
      if (size > 0) {
        if (++links > kMostLinks) {
          return std::nullopt;
        }
        if (target[0] == '/') {
          at.clear();
        }
        todo = std::string(target, static_cast<std::size_t>(size)) + std::string(left);
        continue;
      }
      if (errno != EINVAL) {
        return std::nullopt;
      }
      at = next;
    }
    todo = std::string(left);
  }
}

bool link_may_lead_to_proc(std::string_view target) {
  for (;;) {
    const std::string_view name = next_component(target);
    if (name.empty() || name == "proc") {
      return !name.empty();
    }
  }
}

bool relative_may_concern_proc(std::string_view path, const std::vector<std::string>& names_of_root) {
  static constexpr std::string_view kInTasks[] = {"children", "cwd",   "exe",  "fd",     "fdinfo", "map_files", "ns",
                                                  "root",     "sched", "stat", "status", "task",   "timers"};
  std::string_view left = path;
  const std::string_view first = next_component(left);
  if (first.empty()) {
    return false;
  }
  return first == "." || first == ".." || all_digits(first) ||
         std::binary_search(names_of_root.begin(), names_of_root.end(), first) ||
         std::find(std::begin(kInTasks), std::end(kInTasks), first) != std::end(kInTasks) ||
         left.find("..") != std::string_view::npos;
}

}  // namespace beam::rootfs
