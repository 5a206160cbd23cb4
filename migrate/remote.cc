#include "migrate/remote.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstring>

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

std::uint64_t Batch::put_bytes(const void* bytes, std::size_t size) {
  constexpr std::size_t kAligned = 16;
  memory_.resize((memory_.size() + kAligned - 1) / kAligned * kAligned);
  const std::size_t at = memory_.size();
  const auto* from = static_cast<const std::byte*>(bytes);
  memory_.insert(memory_.end(), from, from + size);
  return remote_->scratch() + at;
}

std::size_t Batch::add(const char* what, long number, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                       std::uint64_t d, std::uint64_t e, std::uint64_t f) {
  calls_.push_back({static_cast<unsigned long>(number), {a, b, c, d, e, f}, 0});
  names_.push_back(what);
  return calls_.size() - 1;
}

bool Batch::has_room(std::size_t size) const {
  constexpr std::size_t kAlignment = 32;
  return memory_.size() + size + kAlignment + (calls_.size() + 1) * sizeof(BeamAgentCall) <= remote_->scratch_size();
}

Result<> Batch::run() {
  results_.clear();
  if (calls_.empty()) {
    return success();
  }
  BEAM_CHECK(has_room(0));
  const std::size_t size = calls_.size() * sizeof(BeamAgentCall);
  const std::size_t calls_at = (remote_->scratch_size() - size) & ~std::size_t{15};
  BEAM_TRY_ASSIGN(const std::uint64_t calls, remote_->put_bytes(calls_.data(), size, calls_at));
  if (!memory_.empty()) {
    BEAM_TRY(remote_->put_bytes(memory_.data(), memory_.size()));
  }
  if (!remote_->tracee().inject_batch(BEAM_AGENT_BATCH, calls, calls_.size())) {
    return Error(ESRCH, remote_->name());
  }
  BEAM_TRY(remote_->get_bytes(calls_.data(), size, calls_at));
  if (!memory_.empty()) {
    BEAM_TRY(remote_->get_bytes(memory_.data(), memory_.size()));
  }
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    results_.push_back(calls_[i].result);
    if (names_[i] != nullptr && calls_[i].result < 0 && calls_[i].result >= -4095) {
      return Error(static_cast<int>(-calls_[i].result), remote_->name() + ": " + names_[i]);
    }
  }
  calls_.clear();
  names_.clear();
  return success();
}

void Batch::copy_out(void* bytes, std::size_t size, std::uint64_t address) const {
  BEAM_CHECK(address >= remote_->scratch() && address - remote_->scratch() + size <= memory_.size());
  std::memcpy(bytes, memory_.data() + (address - remote_->scratch()), size);
}

}  // namespace beam::migrate
