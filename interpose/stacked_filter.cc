#include "interpose/stacked_filter.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>

#include "base/check.h"
#include "base/log.h"
#include "interpose/agent/layout.h"

namespace beam::interpose {

bool stack_filter(Task& task, StoppedTracee& tracee, const std::vector<sock_filter>& code, StackOn where) {
  struct {
    sock_fprog program;
    sock_filter code[64];
  } block{};
  BEAM_CHECK(code.size() <= std::size(block.code));
  // The last slot: no call keeps it beyond this stop.
  constexpr std::uint32_t kSlot = 1U << (BEAM_AGENT_SLOT_COUNT - 1);
  constexpr std::uint64_t kAddress = BEAM_AGENT_SLOTS + (BEAM_AGENT_SLOT_COUNT - 1) * BEAM_AGENT_SLOT_SIZE;
  block.program.len = static_cast<unsigned short>(code.size());
  block.program.filter = reinterpret_cast<sock_filter*>(kAddress + offsetof(decltype(block), code));
  std::copy(code.begin(), code.end(), block.code);
  const AddressSpace& space = *task.process->space;
  if (!space.agent_mapped || (space.slots_in_use & kSlot) != 0 ||
      tracee.memory().write_forced(kAddress, &block, sizeof block) != 0) {
    return false;
  }
  const std::uint64_t flags = where == StackOn::kProcess ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  const auto installed =
      tracee.inject(BEAM_AGENT_GADGET, SYS_seccomp, {SECCOMP_SET_MODE_FILTER, flags, kAddress, 0, 0, 0});
  return installed.ok() && *installed == 0;
}

bool stack_filter_somehow(Task& task, StoppedTracee& tracee, const std::vector<sock_filter>& code, const char* what) {
  if (stack_filter(task, tracee, code, StackOn::kProcess) || stack_filter(task, tracee, code, StackOn::kThread)) {
    return true;
  }
  BEAM_LOG_WARN(kInterpose, "process {}: {}: a filter could not be installed", task.process->vpid.value(), what);
  return false;
}

}  // namespace beam::interpose
