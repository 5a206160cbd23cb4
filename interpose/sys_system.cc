// What the sandbox calls itself and how large it is: uname(2), sethostname(2), sysinfo(2).
#include <sys/personality.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <string>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kLongestName = sizeof(utsname::nodename) - 1;

// uname(2) as a thread of this personality(2) sees it: an older release, or another machine.
void uname_for(HostPid tid, utsname& names) {
  constexpr unsigned long kQuery = 0xffffffff;
  constexpr unsigned long kMatters = static_cast<unsigned long>(UNAME26) | static_cast<unsigned long>(PER_MASK);
  unsigned long personality = 0;
  std::ifstream("/proc/" + std::to_string(tid.value()) + "/personality") >> std::hex >> personality;
  if ((personality & kMatters) == 0) {
    ::uname(&names);
    return;
  }
  const int own = ::personality(kQuery);  // of this thread only
  ::personality(personality & kMatters);
  ::uname(&names);
  ::personality(static_cast<unsigned long>(own));
}

void replace(std::span<char> field, const std::string& name) {
  if (!name.empty()) {
    std::memset(field.data(), 0, field.size());
    std::memcpy(field.data(), name.data(), std::min(name.size(), kLongestName));
  }
}

BEAM_SYSCALL(uname, Strategy::kAnswer, OutPtr<utsname> to) {
  utsname names{};
  uname_for(call.caller.tid, names);
  replace(names.nodename, call.shared.host_name());
  replace(names.domainname, call.shared.domain_name());
  return call.memory().write(to, names) == 0 ? Answer::result(0) : Answer::error(EFAULT);
}

// The sandbox's name is its own: who is root in it may change it.
int read_name(const AnswerCall& call, RemotePtr<char> name, int length, std::string& text) {
  const auto ids = read_proc_credentials(call.caller.tid);
  if (!ids || !ids->may_administer) {
    return EPERM;
  }
  if (length < 0 || static_cast<std::size_t>(length) > kLongestName) {
    return EINVAL;
  }
  text.assign(static_cast<std::size_t>(length), '\0');
  return length != 0 && call.memory().read(name.address(), text.data(), text.size()) != 0 ? EFAULT : 0;
}

BEAM_SYSCALL(sethostname, Strategy::kAnswer, RemotePtr<char> name, int length) {
  std::string text;
  if (const int error = read_name(call, name, length, text); error != 0) {
    return Answer::error(error);
  }
  call.shared.set_host_name(std::move(text));
  return Answer::result(0);
}

BEAM_SYSCALL(setdomainname, Strategy::kAnswer, RemotePtr<char> name, int length) {
  std::string text;
  if (const int error = read_name(call, name, length, text); error != 0) {
    return Answer::error(error);
  }
  call.shared.set_domain_name(std::move(text));
  return Answer::result(0);
}

// The workstation's memory and load; but the sandbox's own processes, and its own time since the start.
BEAM_SYSCALL(sysinfo, Strategy::kAnswer, OutPtr<struct sysinfo> to) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  struct sysinfo info {};
  ::sysinfo(&info);
  std::size_t tasks = 0;
  {
    const std::shared_lock lock(call.shared.tasks.mutex());
    tasks = call.shared.tasks.tasks().size();
  }
  info.procs = static_cast<unsigned short>(tasks);
  info.uptime += call.shared.clock_offsets.boottime_ns / kSecond;
  return call.memory().write(to, info) == 0 ? Answer::result(0) : Answer::error(EFAULT);
}

}  // namespace
}  // namespace beam::interpose
