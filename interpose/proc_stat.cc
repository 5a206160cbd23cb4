#include "interpose/proc_stat.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/unique_fd.h"

namespace beam::interpose {
namespace {

std::optional<std::string> read_small(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return std::nullopt;
  }
  std::string text(4096, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got <= 0) {
    return std::nullopt;
  }
  text.resize(static_cast<std::size_t>(got));
  return text;
}

std::optional<pid_t> number_after(const std::string& text, const char* label) {
  const auto at = text.find(label);
  if (at == std::string::npos) {
    return std::nullopt;
  }
  return static_cast<pid_t>(std::strtol(text.c_str() + at + std::strlen(label), nullptr, 10));
}

}  // namespace

std::optional<ProcStat> read_proc_stat(HostPid pid) {
  const auto text = read_small("/proc/" + std::to_string(pid.value()) + "/stat");
  if (!text) {
    return std::nullopt;
  }
  // The name in parentheses may hold anything, parentheses included: the last one ends it.
  const auto end = text->rfind(')');
  char state = 0;
  pid_t ppid = 0;
  pid_t pgrp = 0;
  pid_t session = 0;
  if (end == std::string::npos ||
      std::sscanf(text->c_str() + end + 1, " %c %d %d %d", &state, &ppid, &pgrp, &session) != 4) {
    return std::nullopt;
  }
  return ProcStat{state, HostPid(ppid), HostPid(pgrp), HostPid(session)};
}

std::optional<std::uint64_t> read_proc_start_stack(HostPid pid) {
  constexpr int kFieldsBehindName = 28 - 2;
  const auto text = read_small("/proc/" + std::to_string(pid.value()) + "/stat");
  auto at = text ? text->rfind(')') : std::string::npos;
  for (int field = 0; field < kFieldsBehindName && at != std::string::npos; ++field) {
    at = text->find(' ', at + 1);
  }
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const std::uint64_t address = std::strtoull(text->c_str() + at, nullptr, 10);
  return address > 1 ? std::optional(address) : std::nullopt;
}

std::optional<ProcIdentity> read_proc_identity(HostPid tid) {
  const auto text = read_small("/proc/" + std::to_string(tid.value()) + "/status");
  if (!text) {
    return std::nullopt;
  }
  const auto tgid = number_after(*text, "\nTgid:");
  const auto ppid = number_after(*text, "\nPPid:");
  if (!tgid || !ppid) {
    return std::nullopt;
  }
  return ProcIdentity{HostPid(*tgid), HostPid(*ppid)};
}

std::optional<ProcCredentials> read_proc_credentials(HostPid tid) {
  constexpr unsigned kCapKill = 5;  // linux/capability.h
  constexpr unsigned kCapSysAdmin = 21;
  const auto text = read_small("/proc/" + std::to_string(tid.value()) + "/status");
  if (!text) {
    return std::nullopt;
  }
  ProcCredentials ids;
  const auto uid = text->find("\nUid:");
  const auto cap = text->find("\nCapEff:");
  if (uid == std::string::npos || cap == std::string::npos ||
      std::sscanf(text->c_str() + uid, "\nUid: %u %u %u", &ids.real, &ids.effective, &ids.saved) != 3) {
    return std::nullopt;
  }
  const std::uint64_t effective = std::strtoull(text->c_str() + cap + 8, nullptr, 16);
  ids.may_kill = (effective >> kCapKill & 1U) != 0;
  ids.may_administer = (effective >> kCapSysAdmin & 1U) != 0;
  return ids;
}

namespace {

std::optional<std::uint64_t> read_signal_set(HostPid tid, const char* title) {
  const auto text = read_small("/proc/" + std::to_string(tid.value()) + "/status");
  const auto at = text ? text->find(title) : std::string::npos;
  if (at == std::string::npos) {
    return std::nullopt;
  }
  return std::strtoull(text->c_str() + at + std::strlen(title), nullptr, 16);
}

}  // namespace

std::optional<std::uint64_t> read_proc_caught_signals(HostPid pid) {
  return read_signal_set(pid, "\nSigCgt:");
}

std::optional<std::uint64_t> read_proc_blocked_signals(HostPid tid) {
  return read_signal_set(tid, "\nSigBlk:");
}

Result<HostPid> pid_of_pidfd(int fd) {
  const std::string number = std::to_string(fd);
  const auto text = read_small("/proc/self/fdinfo/" + number);
  pid_t pid = text ? number_after(*text, "\nPid:").value_or(0) : 0;
  if (pid == 0) {
    // A directory /proc/PID serves as well (pidfd_send_signal(2)), and killall(1) uses one.
    char target[32];
    const ssize_t size = ::readlink(("/proc/self/fd/" + number).c_str(), target, sizeof target - 1);
    target[std::max<ssize_t>(size, 0)] = '\0';
    int end = 0;
    if (std::sscanf(target, "/proc/%d%n", &pid, &end) != 1 ||
        (end != size && std::string_view(target + end) != " (deleted)")) {
      return Error(EBADF, "process of descriptor " + number);
    }
    if (end != size) {
      pid = -1;  // it has ended, and has been waited for
    }
  }
  if (pid < 0) {
    return Error(ESRCH, "process of descriptor " + number);
  }
  return HostPid(pid);
}

}  // namespace beam::interpose
