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

std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

// open(2) looks at a mode only where it may make a file.
void drop_unused_mode(std::string_view name, std::vector<std::string>& texts) {
  if ((name == "open" || name == "openat") && texts.size() >= 2) {
    const std::string& flags = texts[texts.size() - 2];
    if (flags.find("O_CREAT") == std::string::npos && flags.find("O_TMPFILE") == std::string::npos) {
      texts.pop_back();
    }
  }
}

// Calls whose result is a pid.
bool gives_pid(std::string_view name) {
  return name == "getpid" || name == "gettid" || name == "getppid" || name == "getpgid" || name == "getpgrp" ||
         name == "getsid";
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

Trace::Trace(int fd, const std::vector<std::string>& classes, const ns::PidSpace& pids)
    : fd_(fd), pids_(pids), wanted_(SyscallTable::kSize, false) {
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

std::unique_ptr<TracedCall> Trace::begin(const SyscallDeclaration& call, VirtualPid vtid, const GuestMemory& memory,
                                         const RawArgs& args) const {
  if (!wants(call)) {
    return nullptr;
  }
  auto traced = std::make_unique<TracedCall>();
  traced->call = &call;
  traced->vtid = vtid;
  traced->args = args;
  traced->began = now();
  if (call.print != nullptr) {
    call.print(traced->texts, PrintContext{memory, &pids_}, args);
    drop_unused_mode(call.name, traced->texts);
  }
  return traced;
}

std::string Trace::result_text(const TracedCall& traced, std::int64_t result, std::int64_t host) const {
  // What strace knows of them, and what a program never sees (include/linux/errno.h).
  switch (result) {
    case -512:
      return "? ERESTARTSYS (To be restarted if SA_RESTART is set)";
    case -513:
      return "? ERESTARTNOINTR (To be restarted)";
    case -514:
      return "? ERESTARTNOHAND (To be restarted if no handler)";
    case -516:
      return "? ERESTART_RESTARTBLOCK (Interrupted by signal)";
    default:
      break;
  }
  if (result < 0 && result >= -4095) {
    const char* name = ::strerrorname_np(static_cast<int>(-result));
    const char* words = ::strerrordesc_np(static_cast<int>(-result));
    std::string text = "-1 ";
    text += name != nullptr ? name : std::to_string(-result);
    return words != nullptr ? text + " (" + words + ")" : text;
  }
  if (result == host && gives_pid(traced.call->name) && result > 0) {
    host = pids_.to_host(VirtualPid(static_cast<pid_t>(result))).value();  // answered, and never a host id
  }
  std::string text = std::to_string(result);
  if (result != host && host > 0) {
    text += " [host " + std::to_string(host) + "]";
  }
  return text;
}

void Trace::end(const TracedCall& traced, const GuestMemory& memory, std::int64_t result, std::int64_t host) {
  std::vector<std::string> at_exit;
  std::string line = std::to_string(traced.vtid.value()) + " " + traced.call->name + "(";
  for (std::size_t i = 0; i < traced.texts.size(); ++i) {
    line += i == 0 ? "" : ", ";
    const std::string& text = traced.texts[i];
    if (text.size() != 1 || text[0] != kLater) {
      line += text;
      continue;
    }
    if (at_exit.empty()) {
      traced.call->print(at_exit, PrintContext{memory, &pids_, true, result}, traced.args);
    }
    line += at_exit[i];
  }
  char took[32];
  std::snprintf(took, sizeof took, " <%.6f>\n", static_cast<double>(now() - traced.began) / 1e9);
  line += ") = " + result_text(traced, result, host) + took;
  const std::lock_guard lock(mutex_);
  (void)!::write(fd_, line.data(), line.size());
}

}  // namespace beam::interpose
