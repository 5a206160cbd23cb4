#include "interpose/trace.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

bool any_of(std::string_view name, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    if (name.find(part) != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

// strace's classes, by what the calls' names have in common.
bool in_class(std::string_view name, std::string_view wanted) {
  if (wanted == name || wanted == "all") {
    return true;
  }
  const bool signal = any_of(name, {"kill", "sig", "pause", "pidfd_send"});
  const bool ipc =
      any_of(name, {"shm", "semget", "semop", "semctl", "semtimed", "msgget", "msgsnd", "msgrcv", "msgctl"});
  const bool network =
      any_of(name, {"sock", "bind", "connect", "accept", "sendto", "sendm", "recv", "listen", "getpeername"});
  const bool path =
      any_of(name, {"open", "stat", "access", "link", "getcwd", "chdir", "exec", "rename", "mkdir", "mknod", "chmod",
                    "chown", "utime", "xattr", "truncate", "rmdir", "chroot", "inotify_add"}) &&
      !any_of(name, {"pidfd", "mq_", "perf"});
  const bool process = any_of(name, {"fork", "clone", "exec", "wait", "exit", "kill", "pidfd_send"});
  const bool memory = any_of(name, {"mmap", "mprotect", "munmap", "brk", "mremap", "madvise", "process_vm"});
  return (wanted == "signal" && signal) || (wanted == "ipc" && ipc) || (wanted == "network" && network) ||
         (wanted == "net" && network) || (wanted == "file" && path) || (wanted == "process" && process) ||
         (wanted == "memory" && memory) ||
         (wanted == "desc" &&
          any_of(name, {"open", "fcntl", "ioctl", "pidfd", "fchdir", "getsockopt", "setsockopt"})) ||
         (wanted == "pid" &&
          any_of(name, {"pid", "gettid", "pgrp", "sid", "set_tid", "sched_", "prio", "prlimit", "kcmp"}));
}

}  // namespace

bool Trace::is_class(const std::string& word) {
  for (const char* known : {"all", "signal", "ipc", "network", "net", "file", "process", "memory", "desc", "pid"}) {
    if (word == known) {
      return true;
    }
  }
  for (const SyscallDeclaration* call : SyscallTable::instance().all()) {
    if (word == call->name) {
      return true;
    }
  }
  return false;
}

Trace::Trace(int fd, const std::vector<std::string>& classes) : fd_(fd), wanted_(SyscallTable::kSize, false) {
  if (fd < 0) {
    return;
  }
  for (const SyscallDeclaration* call : SyscallTable::instance().all()) {
    bool wanted = classes.empty();
    for (const std::string& word : classes) {
      wanted = wanted || in_class(call->name, word);
    }
    wanted_[static_cast<std::size_t>(call->number)] = wanted;
  }
}

bool Trace::wants(const SyscallDeclaration& call) const {
  return fd_ >= 0 && wanted_[static_cast<std::size_t>(call.number)];
}

std::uint64_t Trace::now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

std::string Trace::describe(const SyscallDeclaration& call, const GuestMemory& memory, const RawArgs& args) {
  std::string text = call.name;
  text += '(';
  if (call.print != nullptr) {
    call.print(text, memory, args);
  }
  text += ')';
  return text;
}

void Trace::line(VirtualPid vtid, const std::string& call, std::int64_t result, const std::string& host_note,
                 std::uint64_t began) {
  char tail[160];
  const double seconds = static_cast<double>(now() - began) / 1e9;
  if (result < 0 && result >= -4095) {
    const char* name = ::strerrorname_np(static_cast<int>(-result));
    const bool restart = result <= -512;
    std::snprintf(tail, sizeof tail, " = %s%s%s <%.6f>\n", restart ? "? ERESTART" : "-1 ",
                  restart ? "" : (name != nullptr ? name : "error"),
                  host_note.empty() ? "" : (" [" + host_note + "]").c_str(), seconds);
  } else {
    std::snprintf(tail, sizeof tail, " = %lld%s <%.6f>\n", static_cast<long long>(result),
                  host_note.empty() ? "" : (" [" + host_note + "]").c_str(), seconds);
  }
  const std::string text = std::to_string(vtid.value()) + " " + call + tail;
  const std::lock_guard lock(mutex_);
  (void)!::write(fd_, text.data(), text.size());
}

void Trace::passed(VirtualPid vtid, const std::string& call, std::uint64_t began) {
  char tail[64];
  std::snprintf(tail, sizeof tail, " = passed <%.6f>\n", static_cast<double>(now() - began) / 1e9);
  const std::string text = std::to_string(vtid.value()) + " " + call + tail;
  const std::lock_guard lock(mutex_);
  (void)!::write(fd_, text.data(), text.size());
}

}  // namespace beam::interpose
