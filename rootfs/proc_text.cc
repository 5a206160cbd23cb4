#include "rootfs/proc_text.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

namespace beam::rootfs {
namespace {

std::optional<pid_t> number(std::string_view text) {
  pid_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::string shown(VirtualPid pid) {
  return std::to_string(pid.value());
}

// Ids of the kernel that name nobody (-1 of a lock's open file, tpgid without a terminal, 0) stay.
std::string translate(std::string_view field, const ToVirtual& to_virtual) {
  const auto host = number(field);
  if (!host) {
    return "0";
  }
  return *host <= 0 ? std::string(field) : shown(to_virtual(HostPid(*host)));
}

// Calls `each` with every line, without its newline, and puts together what it gives back, lines that it drops left
// out.
template <typename Each>
std::string map_lines(std::string_view text, Each each) {
  std::string out;
  out.reserve(text.size() + 64);
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const std::optional<std::string> changed = each(line);
    if (changed) {
      out += *changed;
      if (end != std::string_view::npos) {
        out += '\n';
      }
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

struct Word {
  std::size_t begin;
  std::size_t end;
};

std::vector<Word> words(std::string_view line) {
  std::vector<Word> list;
  std::size_t at = 0;
  while ((at = line.find_first_not_of(" \t", at)) != std::string_view::npos) {
    const std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
    list.push_back({at, end});
    at = end;
  }
  return list;
}

std::string_view text_of(std::string_view line, const Word& word) {
  return line.substr(word.begin, word.end - word.begin);
}

const char* state_name(char state) {
  switch (state) {  // fs/proc/array.c
    case 'R':
      return "R (running)";
    case 'S':
      return "S (sleeping)";
    case 'D':
      return "D (disk sleep)";
    case 'T':
      return "T (stopped)";
    case 'Z':
      return "Z (zombie)";
    case 'X':
      return "X (dead)";
    default:
      return "I (idle)";
  }
}

// A word about a lock, as /proc/locks and fdinfo have it: "1: [-> ]POSIX  ADVISORY  WRITE 1234 fe:00:12 0 EOF". The
// owner is the fourth after the number and the arrow. Nothing when the owner is outside.
std::optional<std::string> lock_line(std::string_view line, const ToVirtual& to_virtual) {
  const auto list = words(line);
  const std::size_t owner = list.size() > 1 && text_of(line, list[1]) == "->" ? 5 : 4;
  if (list.size() <= owner) {
    return std::nullopt;
  }
  const std::string id = translate(text_of(line, list[owner]), to_virtual);
  if (id == "0") {
    return std::nullopt;
  }
  return std::string(line.substr(0, list[owner].begin)) + id + std::string(line.substr(list[owner].end));
}

}  // namespace

char proc_state(std::string_view host) {
  constexpr std::string_view kLabel = "\nState:\t";
  const auto label = host.find(kLabel);
  // In a stat the letter follows the name, whose end is the last parenthesis.
  const auto at = label != std::string_view::npos ? label + kLabel.size() : host.rfind(')') + 2;
  return at < host.size() ? host[at] : '\0';
}

std::string proc_stat_text(std::string_view host, const ProcTask& task, const ToVirtual& to_virtual) {
  // The name in parentheses may hold anything, parentheses included: the last one ends it.
  const auto open = host.find('(');
  const auto close = host.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = host.substr(close + 1);
  const auto list = words(rest);
  enum Field : std::size_t { kState, kParent, kGroup, kSession, kTerminal, kForeground, kFields };
  if (list.size() < kFields) {
    return {};
  }
  std::string out = shown(task.id) + " " + std::string(host.substr(open, close + 1 - open));
  out += ' ';
  out += task.state != 0 ? std::string(1, task.state) : std::string(text_of(rest, list[kState]));
  out += ' ' + shown(task.parent);
  out += ' ' + translate(text_of(rest, list[kGroup]), to_virtual);
  out += ' ' + translate(text_of(rest, list[kSession]), to_virtual);
  out += ' ' + std::string(text_of(rest, list[kTerminal]));
  out += ' ' + translate(text_of(rest, list[kForeground]), to_virtual);
  out += rest.substr(list[kForeground].end);
  return out;
}

std::string proc_status_text(std::string_view host, const ProcTask& task, const ToVirtual& to_virtual) {
  return map_lines(host, [&](std::string_view line) -> std::optional<std::string> {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) {
      return std::string(line);
    }
    const std::string_view label = line.substr(0, colon);
    const auto with = [&](const std::string& value) { return std::string(label) + ":\t" + value; };
    if (label == "State") {
      return task.state != 0 ? with(state_name(task.state)) : std::string(line);
    }
    if (label == "Tgid" || label == "NStgid") {
      return with(shown(task.process));
    }
    if (label == "Pid" || label == "NSpid") {
      return with(shown(task.id));
    }
    if (label == "PPid") {
      return with(shown(task.parent));
    }
    if (label == "TracerPid") {
      return with("0");
    }
    if (label == "Ngid" || label == "NSpgid" || label == "NSsid") {
      // One value a namespace, the reader's first; the sandbox shows one.
      const auto list = words(line.substr(colon + 1));
      return with(list.empty() ? "0" : translate(text_of(line.substr(colon + 1), list[0]), to_virtual));
    }
    if (label == "NoNewPrivs") {
      return with(task.no_new_privs ? "1" : "0");
    }
    if (label == "Seccomp") {
      return with(std::to_string(task.seccomp_mode));
    }
    if (label == "Seccomp_filters") {
      return with(std::to_string(task.seccomp_filters));
    }
    return std::string(line);
  });
}

std::string proc_children_text(std::string_view host, const std::vector<VirtualPid>& more,
                               const ToVirtual& to_virtual) {
  std::string out;
  for (const Word& word : words(host)) {
    const auto id = number(text_of(host, word));
    const VirtualPid child = id ? to_virtual(HostPid(*id)) : VirtualPid();
    if (child != VirtualPid()) {
      out += shown(child) + ' ';
    }
  }
  for (const VirtualPid child : more) {
    out += shown(child) + ' ';
  }
  return out;
}

// "name (1234, #threads: 1)" and the rest.
std::string proc_sched_text(std::string_view host, const ProcTask& task) {
  const auto end = std::min(host.find('\n'), host.size());
  const auto open = host.substr(0, end).rfind('(');
  const auto comma = open == std::string_view::npos ? open : host.find(',', open);
  if (comma == std::string_view::npos || comma > end) {
    return {};
  }
  return std::string(host.substr(0, open + 1)) + shown(task.id) + std::string(host.substr(comma));
}

// "notify: signal/pid.1234" and "notify: signal/tid.1234".
std::string proc_timers_text(std::string_view host, const ToVirtual& to_virtual) {
  return map_lines(host, [&](std::string_view line) -> std::optional<std::string> {
    const auto dot = line.rfind('.');
    if (!line.starts_with("notify:") || dot == std::string_view::npos) {
      return std::string(line);
    }
    return std::string(line.substr(0, dot + 1)) + translate(line.substr(dot + 1), to_virtual);
  });
}

std::string proc_fdinfo_text(std::string_view host, const ToVirtual& to_virtual) {
  return map_lines(host, [&](std::string_view line) -> std::optional<std::string> {
    const auto colon = line.find(':');
    const std::string_view label = line.substr(0, colon);
    if (label == "Pid" || label == "NSpid") {
      const auto list = words(line.substr(colon + 1));
      return std::string(label) + ":\t" +
             (list.empty() ? "0" : translate(text_of(line.substr(colon + 1), list[0]), to_virtual));
    }
    if (label == "lock") {
      const auto lock = lock_line(line.substr(colon + 1), to_virtual);
      return lock ? std::optional(std::string(line.substr(0, colon + 1)) + *lock) : std::nullopt;
    }
    return std::string(line);
  });
}

std::string proc_locks_text(std::string_view host, const ToVirtual& to_virtual) {
  return map_lines(host, [&](std::string_view line) { return lock_line(line, to_virtual); });
}

std::string proc_sysvipc_text(std::string_view host, const ToVirtual& to_virtual) {
  std::vector<std::size_t> columns;
  bool title = true;
  return map_lines(host, [&](std::string_view line) -> std::optional<std::string> {
    const auto list = words(line);
    if (title) {
      title = false;
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (text_of(line, list[i]).ends_with("pid")) {
          columns.push_back(i);
        }
      }
      return std::string(line);
    }
    std::string out;
    std::size_t copied = 0;
    for (const std::size_t column : columns) {
      if (column >= list.size()) {
        return std::nullopt;
      }
      const Word& word = list[column];
      out += line.substr(copied, word.begin - copied);
      const std::string id = translate(text_of(line, word), to_virtual);
      const std::size_t width = word.end - word.begin;
      // Right-aligned, so that the columns stay where they are.
      if (id.size() < width) {
        out.append(width - id.size(), ' ');
      }
      for (std::size_t over = width; over < id.size() && out.size() > 1 && out.ends_with("  "); ++over) {
        out.pop_back();
      }
      out += id;
      copied = word.end;
    }
    out += line.substr(copied);
    return out;
  });
}

std::string proc_loadavg_text(std::string_view host, VirtualPid last) {
  const auto space = host.rfind(' ');
  if (space == std::string_view::npos) {
    return {};
  }
  return std::string(host.substr(0, space + 1)) + shown(last) + "\n";
}

}  // namespace beam::rootfs
