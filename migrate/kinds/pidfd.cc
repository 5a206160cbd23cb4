// pidfd_open(2): a process or thread, also one that has ended or has been waited for.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct PidfdState {
  std::int32_t target = 0;  // virtual; 0: it has ended and been waited for
  std::int32_t flags = 0;
};
BEAM_STATE(PidfdState, 1, target, flags)

namespace {

#ifndef PIDFD_THREAD
constexpr unsigned PIDFD_THREAD = O_EXCL;
#endif

class Pidfd : public KindOf<PidfdState> {
 public:
  std::string_view name() const override { return "pidfd"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    // Since 6.9 pidfds have a file system of their own.
    return file.link == "anon_inode:[pidfd]" || file.link.starts_with("pidfd:") ||
           (file.link.starts_with("anon_inode:") && !info_value(file.fdinfo, "NSpid").empty());
  }
  bool made_after_processes(std::string_view /*state*/) const override { return true; }

 protected:
  Result<PidfdState> collect_state(CollectContext& context, const OpenFile& file) const override {
    PidfdState state;
    state.flags = file.flags & (O_NONBLOCK | static_cast<int>(PIDFD_THREAD));
    const int host = std::atoi(std::string(info_value(file.fdinfo, "Pid")).c_str());
    if (host > 0) {
      state.target = context.shared.pids.to_virtual(HostPid(host)).value();
      if (state.target == 0) {
        return Error(kObstacle, "a pidfd of a process outside the sandbox");
      }
    }
    return state;
  }
  Result<UniqueFd> make_from(MakeContext& context, const PidfdState& state) const override {
    UniqueFd fd;
    if (state.target != 0) {
      const HostPid host = context.host_pid(VirtualPid(state.target));
      fd.reset(static_cast<int>(::syscall(SYS_pidfd_open, host.value(), state.flags & static_cast<int>(PIDFD_THREAD))));
      if (!fd) {
        return Error::from_errno("open a pidfd of process " + std::to_string(state.target));
      }
    } else {
      BEAM_TRY_ASSIGN(fd, of_nobody());
    }
    if (::fcntl(fd.get(), F_SETFL, state.flags & O_NONBLOCK) != 0) {
      return Error::from_errno("set the flags of a pidfd");
    }
    return fd;
  }

 private:
  // Of a process that ends at once. The child runs on this one's memory and stack, which waits for it.
  static Result<UniqueFd> of_nobody() {
    const pid_t child = ::vfork();  // NOLINT: it does nothing but end
    if (child == 0) {
      ::_exit(0);
    }
    if (child < 0) {
      return Error::from_errno("make a process for a pidfd whose own has ended");
    }
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    const int error = errno;
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return fd ? Result<UniqueFd>(std::move(fd)) : Error(error, "open a pidfd");
  }
};

const KindRegistration kRegistration{std::make_unique<Pidfd>()};

}  // namespace
}  // namespace beam::migrate
