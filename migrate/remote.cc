#include "migrate/remote.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/check.h"
#include "interpose/agent/layout.h"

namespace beam::migrate {

std::string Remote::name() const {
  return "process " + std::to_string(task_.process->vpid.value()) +
         (task_.vtid == task_.process->vpid ? "" : " thread " + std::to_string(task_.vtid.value()));
}

Result<std::int64_t> Remote::raw_call(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d,
                                      std::uint64_t e, std::uint64_t f) {
  auto result = tracee_.inject(BEAM_AGENT_GADGET, number, {a, b, c, d, e, f});
  if (!result.ok()) {
    return std::move(result).error().context(name());
  }
  // Injection keeps the old registers in its hands until the task goes on.
  if (!tracee_.flush_regs()) {
    return Error(ESRCH, name());
  }
  return result;
}

Result<std::uint64_t> Remote::call(const char* what, long number, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                                   std::uint64_t d, std::uint64_t e, std::uint64_t f) {
  BEAM_TRY_ASSIGN(const std::int64_t result, raw_call(number, a, b, c, d, e, f));
  if (result < 0 && result >= -4095) {
    return Error(static_cast<int>(-result), name() + ": " + what);
  }
  return static_cast<std::uint64_t>(result);
}

Result<> Remote::map_scratch(std::size_t size) {
  BEAM_TRY_ASSIGN(scratch_, call("map scratch memory", SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, ~0ULL, 0));
  scratch_size_ = size;
  return success();
}

Result<> Remote::unmap_scratch() {
  if (scratch_size_ != 0) {
    BEAM_TRY(call("unmap scratch memory", SYS_munmap, scratch_, scratch_size_));
    scratch_size_ = 0;
  }
  return success();
}

Result<std::uint64_t> Remote::put_bytes(const void* bytes, std::size_t size, std::size_t offset) {
  BEAM_CHECK(offset + size <= scratch_size_);
  const int error = memory().write(scratch_ + offset, bytes, size);
  if (error != 0) {
    return Error(error, name() + ": write to scratch memory");
  }
  return scratch_ + offset;
}

Result<> Remote::get_bytes(void* bytes, std::size_t size, std::size_t offset) {
  BEAM_CHECK(offset + size <= scratch_size_);
  const int error = memory().read(scratch_ + offset, bytes, size);
  return error == 0 ? success() : Result<>(Error(error, name() + ": read from scratch memory"));
}

}  // namespace beam::migrate
