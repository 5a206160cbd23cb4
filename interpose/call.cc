#include "interpose/call.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "interpose/tracer.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

namespace beam::interpose {

unsigned long long& arg_register(user_regs_struct& regs, std::size_t index) {
  switch (index) {
    case 0:
      return regs.rdi;
    case 1:
      return regs.rsi;
    case 2:
      return regs.rdx;
    case 3:
      return regs.r10;
    case 4:
      return regs.r8;
    default:
      return regs.r9;
  }
}

RawArgs raw_args(const user_regs_struct& regs) {
  return {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
}

UniqueFd AnswerCall::descriptor(GuestFd fd, int& error) const {
  return copy_descriptor(caller.tid, *caller.process, fd.value(), error);
}

UniqueFd copy_descriptor(HostPid tid, const Process& process, int fd, int& error) {
  // PIDFD_THREAD, as the group's leader may be a zombie; without it (before 6.9) the group has to do.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, tid.value(), PIDFD_THREAD)));
  if (!pidfd && errno == EINVAL) {
    pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, process.host.value(), 0)));
  }
  if (!pidfd) {
    error = -errno;
    return {};
  }
  UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)));
  error = copy ? 0 : -errno;
  return copy;
}

Rewrite Rewrite::make_again(const RewriteCall& call) {
  user_regs_struct* regs = call.tracee().regs();
  if (regs == nullptr) {
    return pass();
  }
  constexpr std::uint64_t kSyscallInstruction = 2;  // bytes
  const auto number = static_cast<std::int64_t>(regs->orig_rax);
  regs->rip -= kSyscallInstruction;
  call.tracee().set_regs_changed();
  return skip(number);
}

void RewriteCall::set_arg(CallInProgress& call, std::size_t index, std::uint64_t value) {
  user_regs_struct* regs = tracee_.regs();
  if (regs == nullptr) {
    return;
  }
  auto& place = arg_register(*regs, index);
  if (!call.saved[index]) {
    call.saved[index] = place;
  }
  place = value;
  tracee_.set_regs_changed();
}

std::uint64_t RewriteCall::put(CallInProgress& call, const void* bytes, std::size_t size) {
  AddressSpace& space = *task_.process->space;
  const auto wanted = static_cast<unsigned>((size + BEAM_AGENT_SLOT_SIZE - 1) / BEAM_AGENT_SLOT_SIZE);
  if (!space.agent_mapped || wanted == 0 || wanted > BEAM_AGENT_SLOT_COUNT) {
    return 0;
  }
  const std::uint32_t run = wanted >= 32 ? ~0U : (1U << wanted) - 1;
  for (unsigned first = 0; first + wanted <= BEAM_AGENT_SLOT_COUNT; ++first) {
    const std::uint32_t bits = run << first;
    if ((space.slots_in_use & bits) != 0) {
      continue;
    }
    const std::uint64_t address = BEAM_AGENT_SLOTS + static_cast<std::uint64_t>(first) * BEAM_AGENT_SLOT_SIZE;
    if (tracee_.memory().write_forced(address, bytes, size) != 0) {
      return 0;
    }
    space.slots_in_use |= bits;
    call.slots |= bits;
    return address;
  }
  return 0;
}

std::int64_t ExitCall::result() const {
  const user_regs_struct* regs = tracee_.regs();
  return regs == nullptr ? -ESRCH : static_cast<std::int64_t>(regs->rax);
}

void ExitCall::set_result(std::int64_t value) {
  user_regs_struct* regs = tracee_.regs();
  if (regs != nullptr) {
    regs->rax = static_cast<std::uint64_t>(value);
    tracee_.set_regs_changed();
  }
}

}  // namespace beam::interpose
