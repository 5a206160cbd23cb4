#include "interpose/syscall_args.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>

namespace beam::interpose {
namespace {

using Name = FlagName;

void print_name(std::string& out, std::int64_t value, std::span<const FlagName> names) {
  for (const FlagName& name : names) {
    if (static_cast<std::int64_t>(name.bit) == value) {
      out += name.text;
      return;
    }
  }
  print_signed(out, value);
}

}  // namespace

void print_flags(std::string& out, std::uint64_t value, std::span<const FlagName> names, bool started) {
  for (const FlagName& name : names) {
    if (name.bit != 0 && (value & name.bit) == name.bit) {
      out += started ? "|" : "";
      out += name.text;
      value &= ~name.bit;
      started = true;
    }
  }
  if (!started && value == 0) {
    out += "0";
  } else if (value != 0) {
    out += started ? "|" : "";
    print_pointer(out, value);
  }
}

void print_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char raw : text) {
    const auto byte = static_cast<unsigned char>(raw);
    if (raw == '"' || raw == '\\') {
      out += '\\';
      out += raw;
    } else if (raw == '\n') {
      out += "\\n";
    } else if (raw == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte >= 0x7f) {
      char octal[8];
      std::snprintf(octal, sizeof octal, "\\%o", byte);
      out += octal;
    } else {
      out += raw;
    }
  }
  out += '"';
}

void print_signed(std::string& out, std::int64_t value) {
  out += std::to_string(value);
}
void print_unsigned(std::string& out, std::uint64_t value) {
  out += std::to_string(value);
}

void print_pointer(std::string& out, std::uint64_t value) {
  if (value == 0) {
    out += "NULL";
    return;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
  out += text;
}

void print_arg(std::string& out, const PrintContext& context, GuestPath path) {
  std::string text;
  if (!path || context.memory.read_string(path.address(), text, 4096) != 0) {
    print_pointer(out, path.address());
    return;
  }
  print_quoted(out, text);
}

void print_arg(std::string& out, const PrintContext& /*context*/, GuestFd fd) {
  if (fd.value() == AT_FDCWD) {
    out += "AT_FDCWD";
  } else {
    print_signed(out, fd.value());
  }
}

void print_arg(std::string& out, const PrintContext& /*context*/, OpenFlags flags) {
  static constexpr Name kNames[] = {
      {O_CREAT, "O_CREAT"},     {O_EXCL, "O_EXCL"},         {O_NOCTTY, "O_NOCTTY"},       {O_TRUNC, "O_TRUNC"},
      {O_APPEND, "O_APPEND"},   {O_NONBLOCK, "O_NONBLOCK"}, {O_SYNC, "O_SYNC"},           {O_DSYNC, "O_DSYNC"},
      {O_DIRECT, "O_DIRECT"},   {O_TMPFILE, "O_TMPFILE"},   {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"},
      {O_NOATIME, "O_NOATIME"}, {O_CLOEXEC, "O_CLOEXEC"},   {O_PATH, "O_PATH"},           {0100000, "O_LARGEFILE"}};
  const auto value = static_cast<std::uint64_t>(static_cast<unsigned>(flags.value));
  static constexpr const char* kModes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
  out += kModes[value & O_ACCMODE];
  if ((value & ~std::uint64_t{O_ACCMODE}) != 0) {
    print_flags(out, value & ~std::uint64_t{O_ACCMODE}, kNames, true);
  }
}

void print_arg(std::string& out, const PrintContext& /*context*/, AtFlags flags) {
  static constexpr Name kNames[] = {{AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
                                    {AT_EACCESS, "AT_EACCESS"},
                                    {AT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW"},
                                    {AT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"},
                                    {AT_EMPTY_PATH, "AT_EMPTY_PATH"}};
  const auto value = static_cast<std::uint64_t>(static_cast<unsigned>(flags.value));
  if (value == 0) {
    out += "0";
  } else {
    print_flags(out, value, kNames, false);
  }
}

void print_arg(std::string& out, const PrintContext& /*context*/, Mode mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%#o", mode.value);
  out += text;
}

void print_arg(std::string& out, const PrintContext& /*context*/, Signal signal) {
  const char* name = signal.value > 0 ? ::sigabbrev_np(signal.value) : nullptr;
  if (name != nullptr) {
    out += "SIG";
    out += name;
  } else if (signal.value >= 32 && signal.value <= 64) {
    out += "SIGRT_" + std::to_string(signal.value - 32);
  } else {
    print_signed(out, signal.value);
  }
}

void print_arg(std::string& out, const PrintContext& context, CloneFlags flags) {
  static constexpr Name kNames[] = {{CLONE_VM, "CLONE_VM"},
                                    {CLONE_FS, "CLONE_FS"},
                                    {CLONE_FILES, "CLONE_FILES"},
                                    {CLONE_SIGHAND, "CLONE_SIGHAND"},
                                    {CLONE_PIDFD, "CLONE_PIDFD"},
                                    {CLONE_PTRACE, "CLONE_PTRACE"},
                                    {CLONE_VFORK, "CLONE_VFORK"},
                                    {CLONE_PARENT, "CLONE_PARENT"},
                                    {CLONE_THREAD, "CLONE_THREAD"},
                                    {CLONE_SYSVSEM, "CLONE_SYSVSEM"},
                                    {CLONE_SETTLS, "CLONE_SETTLS"},
                                    {CLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"},
                                    {CLONE_CHILD_CLEARTID, "CLONE_CHILD_CLEARTID"},
                                    {CLONE_CHILD_SETTID, "CLONE_CHILD_SETTID"},
                                    {CLONE_UNTRACED, "CLONE_UNTRACED"}};
  const int signal = static_cast<int>(flags.value & 0xff);
  const std::uint64_t rest = flags.value & ~0xffULL;
  if (rest != 0 || signal == 0) {
    print_flags(out, rest, kNames);
  }
  if (signal != 0) {
    out += rest != 0 ? "|" : "";
    print_arg(out, context, Signal{signal});
  }
}

// The host's id beside it, as strace(1) shows that of its own PID namespace. A group is named by its negative.
void print_arg(std::string& out, const PrintContext& context, PidArg pid) {
  print_signed(out, pid.value);
  const bool names = pid.value > 0 || (pid.value < -1 && pid.value != INT32_MIN);
  const HostPid host =
      names && context.pids != nullptr ? context.pids->to_host(VirtualPid(std::abs(pid.value))) : HostPid();
  if (host != HostPid()) {
    out += " [host " + std::to_string(pid.value < 0 ? -host.value() : host.value()) + "]";
  }
}

void print_arg(std::string& out, const PrintContext& /*context*/, WaitOptions options) {
  static constexpr Name kNames[] = {{WNOHANG, "WNOHANG"},       {WSTOPPED, "WSTOPPED"}, {WEXITED, "WEXITED"},
                                    {WCONTINUED, "WCONTINUED"}, {WNOWAIT, "WNOWAIT"},   {__WNOTHREAD, "__WNOTHREAD"},
                                    {__WALL, "__WALL"},         {__WCLONE, "__WCLONE"}};
  print_flags(out, static_cast<unsigned>(options.value), kNames);
}

void print_arg(std::string& out, const PrintContext& /*context*/, WaitIdType type) {
  static constexpr Name kNames[] = {{P_ALL, "P_ALL"}, {P_PID, "P_PID"}, {P_PGID, "P_PGID"}, {P_PIDFD, "P_PIDFD"}};
  print_name(out, type.value, kNames);
}

void print_arg(std::string& out, const PrintContext& /*context*/, PrctlOption option) {
  static constexpr Name kNames[] = {
      {PR_SET_DUMPABLE, "PR_SET_DUMPABLE"},         {PR_GET_DUMPABLE, "PR_GET_DUMPABLE"},
      {PR_SET_SECCOMP, "PR_SET_SECCOMP"},           {PR_GET_SECCOMP, "PR_GET_SECCOMP"},
      {PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"}, {PR_GET_NO_NEW_PRIVS, "PR_GET_NO_NEW_PRIVS"},
      {PR_SET_PTRACER, "PR_SET_PTRACER"},           {62, "PR_SCHED_CORE"}};
  print_name(out, option.value, kNames);
}

void print_arg(std::string& out, const PrintContext& context, ClockName clock) {
  static constexpr Name kNames[] = {{CLOCK_REALTIME, "CLOCK_REALTIME"},
                                    {CLOCK_MONOTONIC, "CLOCK_MONOTONIC"},
                                    {CLOCK_PROCESS_CPUTIME_ID, "CLOCK_PROCESS_CPUTIME_ID"},
                                    {CLOCK_THREAD_CPUTIME_ID, "CLOCK_THREAD_CPUTIME_ID"},
                                    {CLOCK_MONOTONIC_RAW, "CLOCK_MONOTONIC_RAW"},
                                    {CLOCK_REALTIME_COARSE, "CLOCK_REALTIME_COARSE"},
                                    {CLOCK_MONOTONIC_COARSE, "CLOCK_MONOTONIC_COARSE"},
                                    {CLOCK_BOOTTIME, "CLOCK_BOOTTIME"},
                                    {CLOCK_REALTIME_ALARM, "CLOCK_REALTIME_ALARM"},
                                    {CLOCK_BOOTTIME_ALARM, "CLOCK_BOOTTIME_ALARM"},
                                    {CLOCK_TAI, "CLOCK_TAI"}};
  constexpr int kTypeBits = 3;  // linux/posix-timers.h
  constexpr int kThread = 4;
  if (clock.value >= 0) {
    print_name(out, clock.value, kNames);
    return;
  }
  out += (clock.value & kThread) != 0 ? "MAKE_THREAD_CPUCLOCK(" : "MAKE_PROCESS_CPUCLOCK(";
  print_arg(out, context, PidArg{~(clock.value >> kTypeBits)});
  out += ", " + std::to_string(clock.value & (kThread - 1)) + ")";
}

void print_arg(std::string& out, const PrintContext& /*context*/, Resource resource) {
  static constexpr const char* kNames[] = {"CPU",      "FSIZE",  "DATA",    "STACK", "CORE",  "RSS",
                                           "NPROC",    "NOFILE", "MEMLOCK", "AS",    "LOCKS", "SIGPENDING",
                                           "MSGQUEUE", "NICE",   "RTPRIO",  "RTTIME"};
  if (resource.value >= 0 && static_cast<std::size_t>(resource.value) < std::size(kNames)) {
    out += "RLIMIT_";
    out += kNames[resource.value];
  } else {
    print_signed(out, resource.value);
  }
}

void print_arg(std::string& out, const PrintContext& /*context*/, SchedPolicy policy) {
  static constexpr Name kNames[] = {{SCHED_OTHER, "SCHED_OTHER"}, {SCHED_FIFO, "SCHED_FIFO"}, {SCHED_RR, "SCHED_RR"},
                                    {SCHED_BATCH, "SCHED_BATCH"}, {SCHED_IDLE, "SCHED_IDLE"}, {6, "SCHED_DEADLINE"}};
  print_name(out, policy.value, kNames);
}

void print_arg(std::string& out, const PrintContext& /*context*/, PriorityWhich which) {
  static constexpr Name kNames[] = {{PRIO_PROCESS, "PRIO_PROCESS"}, {PRIO_PGRP, "PRIO_PGRP"}, {PRIO_USER, "PRIO_USER"}};
  print_name(out, which.value, kNames);
}

void print_arg(std::string& out, const PrintContext& context, RemotePtr<CString> strings) {
  constexpr int kShown = 32;  // as strace does
  std::uint64_t at = strings.address();
  if (at == 0) {
    out += "NULL";
    return;
  }
  out += '[';
  for (int i = 0;; ++i, at += sizeof(std::uint64_t)) {
    std::uint64_t string = 0;
    std::string text;
    if (context.memory.read(at, &string, sizeof string) != 0) {
      out += "???";
      break;
    }
    if (string == 0) {
      break;
    }
    out += i == 0 ? "" : ", ";
    if (i == kShown) {
      out += "...";
      break;
    }
    print_arg(out, context, GuestPath(string));
  }
  out += ']';
}

}  // namespace beam::interpose
