#include "interpose/tracee.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

namespace beam::interpose {
namespace {

// All but SIGTRAP: forced while it is blocked, it would reset the program's own disposition (kernel/signal.c).
constexpr std::uint64_t kAllButTrap = ~(1ULL << (SIGTRAP - 1));

template <typename Address, typename Data>
long request(__ptrace_request what, HostPid tid, Address address, Data data) {
  return ::ptrace(what, tid.value(), address, data);
}

user_regs_struct injected(user_regs_struct regs, std::uint64_t gadget, long number,
                          const std::array<std::uint64_t, 6>& args) {
  regs.rip = gadget;
  regs.rax = static_cast<std::uint64_t>(number);
  regs.orig_rax = ~0ULL;  // no restart logic of the interrupted call may apply to the new one
  regs.rdi = args[0];
  regs.rsi = args[1];
  regs.rdx = args[2];
  regs.r10 = args[3];
  regs.r8 = args[4];
  regs.r9 = args[5];
  return regs;
}

}  // namespace

StoppedTracee::StoppedTracee(StoppedTracee&& other) noexcept
    : tid_(std::exchange(other.tid_, HostPid())),
      regs_(other.regs_),
      regs_read_(other.regs_read_),
      regs_changed_(std::exchange(other.regs_changed_, false)) {}

StoppedTracee& StoppedTracee::operator=(StoppedTracee&& other) noexcept {
  tid_ = std::exchange(other.tid_, HostPid());
  regs_ = other.regs_;
  regs_read_ = other.regs_read_;
  regs_changed_ = std::exchange(other.regs_changed_, false);
  return *this;
}

user_regs_struct* StoppedTracee::regs() {
  if (!regs_read_) {
    if (request(PTRACE_GETREGS, tid_, nullptr, &regs_) != 0) {
      return nullptr;
    }
    regs_read_ = true;
  }
  return &regs_;
}

bool StoppedTracee::flush_regs() {
  if (!regs_changed_) {
    return true;
  }
  regs_changed_ = false;
  return request(PTRACE_SETREGS, tid_, nullptr, &regs_) == 0;
}

std::optional<std::uint64_t> StoppedTracee::event_message() const {
  unsigned long message = 0;
  if (request(PTRACE_GETEVENTMSG, tid_, nullptr, &message) != 0) {
    return std::nullopt;
  }
  return message;
}

std::optional<siginfo_t> StoppedTracee::siginfo() const {
  siginfo_t info{};
  if (request(PTRACE_GETSIGINFO, tid_, nullptr, &info) != 0) {
    return std::nullopt;
  }
  return info;
}

bool StoppedTracee::set_siginfo(const siginfo_t& info) const {
  return request(PTRACE_SETSIGINFO, tid_, nullptr, &info) == 0;
}

std::optional<std::uint64_t> StoppedTracee::signal_mask() const {
  std::uint64_t mask = 0;
  if (request(PTRACE_GETSIGMASK, tid_, sizeof mask, &mask) != 0) {
    return std::nullopt;
  }
  return mask;
}

bool StoppedTracee::set_signal_mask(std::uint64_t mask) const {
  return request(PTRACE_SETSIGMASK, tid_, sizeof mask, &mask) == 0;
}

bool StoppedTracee::step(bool& stop_request_used) {
  return advance(Resume::kSingleStep, stop_request_used);
}

// The exit event is only peeked at: it belongs to the event loop, as every death does. The event thread's waits are
// interrupted by whoever posts work to it, so both are repeated: a trap that nobody collects would be delivered to the
// program as a SIGTRAP.
bool StoppedTracee::advance(Resume how, bool& stop_request_used) {
  const auto what = how == Resume::kSingleStep ? PTRACE_SINGLESTEP
                    : how == Resume::kContinue ? PTRACE_CONT
                                               : PTRACE_SYSCALL;
  const int wanted = how == Resume::kToSyscallStop ? SIGTRAP | 0x80 : SIGTRAP;  // PTRACE_O_TRACESYSGOOD
  if (!flush_regs()) {
    return false;
  }
  regs_read_ = false;
  std::uint64_t deliver = 0;
  for (;;) {
    if (request(what, tid_, nullptr, deliver) != 0) {
      return false;
    }
    deliver = 0;
    siginfo_t peek{};
    long waited = 0;
    do {
      waited = ::waitid(P_PID, static_cast<id_t>(tid_.value()), &peek, WSTOPPED | WEXITED | WNOWAIT | __WALL);
    } while (waited != 0 && errno == EINTR);
    if (waited != 0 || peek.si_code != CLD_TRAPPED || (peek.si_status >> 8) == PTRACE_EVENT_EXIT) {
      return false;
    }
    int status = 0;
    do {
      waited = ::waitpid(tid_.value(), &status, __WALL);
    } while (waited < 0 && errno == EINTR);
    if (waited < 0 || !WIFSTOPPED(status)) {
      return false;
    }
    if ((status >> 16) == PTRACE_EVENT_STOP) {
      // A stop request is reported before the trap that is already pending (kernel/signal.c get_signal), which the next
      // step then reports without running an instruction.
      stop_request_used = true;
    } else if (WSTOPSIG(status) == wanted) {
      return true;
    } else {
      deliver = static_cast<std::uint64_t>(WSTOPSIG(status));  // SIGSTOP, which nothing blocks; a stop request follows
    }
  }
}

bool StoppedTracee::request_stop() const {
  return request(PTRACE_INTERRUPT, tid_, nullptr, nullptr) == 0;
}

// With every signal blocked a step can only end in its own trap, in a stop request that was under way, or in death. A
// stop request that was used up here is asked for again at the end: a group stop must not be lost (PTRACE_INTERRUPT
// reports it anew, kernel/signal.c do_jobctl_trap).
Result<std::int64_t> StoppedTracee::inject(std::uint64_t gadget, long number,
                                           const std::array<std::uint64_t, 6>& args) {
  const auto gone = [this] { return Error(ESRCH, "system call in task " + std::to_string(tid_.value())); };
  if (regs() == nullptr) {
    return gone();
  }
  const auto mask = signal_mask();
  if (!mask || !set_signal_mask(kAllButTrap)) {
    return gone();
  }
  const user_regs_struct saved = regs_;
  regs_changed_ = false;  // they are put back below; until then they must not go over those of the call
  user_regs_struct call = injected(saved, gadget, number, args);
  regs_changed_ = false;  // or the first step would write what was changed before over the call
  if (request(PTRACE_SETREGS, tid_, nullptr, &call) != 0) {
    return gone();
  }
  bool stop_request_used = false;
  do {
    if (!step(stop_request_used) || request(PTRACE_GETREGS, tid_, nullptr, &call) != 0) {
      return gone();
    }
  } while (call.rip == gadget);
  regs_ = saved;
  regs_read_ = true;
  regs_changed_ = true;
  if (!set_signal_mask(*mask)) {
    return gone();
  }
  if (stop_request_used) {
    request_stop();
  }
  return static_cast<std::int64_t>(call.rax);
}

bool StoppedTracee::inject_batch(std::uint64_t routine, std::uint64_t calls, std::uint64_t count) {
  const auto mask = regs() != nullptr ? signal_mask() : std::nullopt;
  if (!mask || !set_signal_mask(kAllButTrap)) {
    return false;
  }
  const user_regs_struct saved = regs_;
  regs_.rip = routine;
  regs_.orig_rax = ~0ULL;
  regs_.rbx = calls;
  regs_.rbp = count;
  regs_changed_ = true;
  bool stop_request_used = false;
  if (!advance(Resume::kContinue, stop_request_used)) {
    return false;
  }
  regs_ = saved;
  regs_changed_ = true;
  if (!set_signal_mask(*mask) || !flush_regs()) {
    return false;
  }
  if (stop_request_used) {
    request_stop();
  }
  return true;
}

Result<std::int64_t> StoppedTracee::inject_as_from(std::uint64_t gadget, std::uint64_t shown_ip, long number,
                                                   const std::array<std::uint64_t, 6>& args) {
  const auto gone = [this] { return Error(ESRCH, "system call in task " + std::to_string(tid_.value())); };
  const auto mask = regs() != nullptr ? signal_mask() : std::nullopt;
  if (!mask || !set_signal_mask(~0ULL)) {
    return gone();
  }
  const user_regs_struct saved = regs_;
  regs_ = injected(saved, gadget, number, args);
  regs_changed_ = true;
  bool stop_request_used = false;
  const auto to_stop = [&](unsigned char wanted) {
    __ptrace_syscall_info info{};
    do {
      if (!advance(Resume::kToSyscallStop, stop_request_used) || regs() == nullptr ||
          ::ptrace(PTRACE_GET_SYSCALL_INFO, tid_.value(), sizeof info, &info) < 0) {
        return false;
      }
    } while (info.op != wanted);
    return true;
  };
  if (!to_stop(PTRACE_SYSCALL_INFO_ENTRY)) {
    return gone();
  }
  regs_.rip = shown_ip;
  regs_changed_ = true;
  if (!to_stop(PTRACE_SYSCALL_INFO_EXIT)) {
    return gone();
  }
  const auto result = static_cast<std::int64_t>(regs_.rax);
  regs_ = saved;
  regs_.orig_rax = ~0ULL;
  regs_changed_ = true;
  if (!set_signal_mask(*mask)) {
    return gone();
  }
  if (stop_request_used) {
    request_stop();
  }
  return result;
}

bool StoppedTracee::resume(Resume how, int signal) && {
  const HostPid tid = tid_;
  if (!flush_regs()) {
    tid_ = HostPid();
    return false;
  }
  tid_ = HostPid();
  const auto data = static_cast<std::uint64_t>(signal);
  switch (how) {
    case Resume::kContinue:
      return request(PTRACE_CONT, tid, nullptr, data) == 0;
    case Resume::kToSyscallStop:
      return request(PTRACE_SYSCALL, tid, nullptr, data) == 0;
    case Resume::kSingleStep:
      return request(PTRACE_SINGLESTEP, tid, nullptr, data) == 0;
    case Resume::kListen:
      return request(PTRACE_LISTEN, tid, nullptr, 0) == 0;
  }
  return false;
}

}  // namespace beam::interpose
