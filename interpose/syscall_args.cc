#include "interpose/syscall_args.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <cstring>
#include <utility>

namespace beam::interpose {
namespace {

struct Name {
  std::uint64_t bit;
  const char* text;
};

void print_flags(std::string& out, std::uint64_t value, const Name* names, std::size_t count, bool started) {
  for (std::size_t i = 0; i < count; ++i) {
    if (names[i].bit != 0 && (value & names[i].bit) == names[i].bit) {
      out += started ? "|" : "";
      out += names[i].text;
      value &= ~names[i].bit;
      started = true;
    }
  }
  if (value != 0 || !started) {
    out += started ? "|" : "";
    print_pointer(out, value);
  }
}

// As strace quotes strings.
void print_quoted(std::string& out, const std::string& text) {
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

}  // namespace

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

void print_arg(std::string& out, const GuestMemory& memory, GuestPath path) {
  std::string text;
  if (!path || memory.read_string(path.address(), text, 4096) != 0) {
    print_pointer(out, path.address());
    return;
  }
  print_quoted(out, text);
}

void print_arg(std::string& out, const GuestMemory& /*memory*/, GuestFd fd) {
  if (fd.value() == AT_FDCWD) {
    out += "AT_FDCWD";
  } else {
    print_signed(out, fd.value());
  }
}

void print_arg(std::string& out, const GuestMemory& /*memory*/, OpenFlags flags) {
  static constexpr Name kNames[] = {
      {O_CREAT, "O_CREAT"},     {O_EXCL, "O_EXCL"},         {O_NOCTTY, "O_NOCTTY"},       {O_TRUNC, "O_TRUNC"},
      {O_APPEND, "O_APPEND"},   {O_NONBLOCK, "O_NONBLOCK"}, {O_SYNC, "O_SYNC"},           {O_DSYNC, "O_DSYNC"},
      {O_DIRECT, "O_DIRECT"},   {O_TMPFILE, "O_TMPFILE"},   {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"},
      {O_NOATIME, "O_NOATIME"}, {O_CLOEXEC, "O_CLOEXEC"},   {O_PATH, "O_PATH"},           {0100000, "O_LARGEFILE"}};
  const auto value = static_cast<std::uint64_t>(static_cast<unsigned>(flags.value));
  static constexpr const char* kModes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
  out += kModes[value & O_ACCMODE];
  if ((value & ~std::uint64_t{O_ACCMODE}) != 0) {
    print_flags(out, value & ~std::uint64_t{O_ACCMODE}, kNames, std::size(kNames), true);
  }
}

void print_arg(std::string& out, const GuestMemory& /*memory*/, AtFlags flags) {
  static constexpr Name kNames[] = {{AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
                                    {AT_EACCESS, "AT_EACCESS"},
                                    {AT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW"},
                                    {AT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"},
                                    {AT_EMPTY_PATH, "AT_EMPTY_PATH"}};
  const auto value = static_cast<std::uint64_t>(static_cast<unsigned>(flags.value));
  if (value == 0) {
    out += "0";
  } else {
    print_flags(out, value, kNames, std::size(kNames), false);
  }
}

void print_arg(std::string& out, const GuestMemory& /*memory*/, Mode mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%#o", mode.value);
  out += text;
}

void print_arg(std::string& out, const GuestMemory& /*memory*/, Signal signal) {
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

void print_arg(std::string& out, const GuestMemory& /*memory*/, CloneFlags flags) {
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
  print_flags(out, flags.value & ~0xffULL, kNames, std::size(kNames), false);
  const int signal = static_cast<int>(flags.value & 0xff);
  if (signal != 0) {
    out += "|";
    print_arg(out, GuestMemory(HostPid()), Signal{signal});
  }
}

void print_arg(std::string& out, const GuestMemory& /*memory*/, PidArg pid) {
  print_signed(out, pid.value);
}

}  // namespace beam::interpose
