// What the sandbox calls itself: uname(2), sethostname(2).
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kLongestName = sizeof(utsname::nodename) - 1;

BEAM_SYSCALL(uname, Strategy::kAnswer, RemotePtr<utsname> to) {
  utsname names{};
  ::uname(&names);
  const std::string host = call.shared.host_name();
  if (!host.empty()) {
    std::memset(names.nodename, 0, sizeof names.nodename);
    std::memcpy(names.nodename, host.data(), std::min(host.size(), kLongestName));
  }
  return call.memory().write(to, names) == 0 ? Answer::result(0) : Answer::error(EFAULT);
}

// The sandbox's name is its own: who is root in it may change it.
BEAM_SYSCALL(sethostname, Strategy::kAnswer, RemotePtr<char> name, std::uint64_t length) {
  const auto ids = read_proc_credentials(call.caller.tid);
  if (!ids || ids->effective != 0) {
    return Answer::error(EPERM);
  }
  if (length > kLongestName) {
    return Answer::error(EINVAL);
  }
  std::string text(length, '\0');
  if (call.memory().read(name.address(), text.data(), length) != 0) {
    return Answer::error(EFAULT);
  }
  call.shared.set_host_name(std::move(text));
  return Answer::result(0);
}

const ListRegistration kDomain{DeniedCall{SYS_setdomainname, "setdomainname", EPERM, "the workstation's NIS domain"}};

}  // namespace
}  // namespace beam::interpose
