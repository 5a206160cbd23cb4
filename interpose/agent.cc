#include "interpose/agent.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "interpose/proc_stat.h"
#include "interpose/syscall_numbers.h"

extern "C" {
extern const unsigned char beam_agent_code[];
extern const unsigned char beam_agent_code_end[];
extern const unsigned char beam_vdso_image[];
extern const unsigned char beam_vdso_image_end[];
}

namespace beam::interpose {
namespace {

constexpr std::uint64_t kPage = 4096;

// The kernel gives every process the same vDSO image, so what stands where in it is read from the supervisor's own.
struct KernelVdso {
  std::uint64_t clock_gettime = 0;
  std::uint64_t gettimeofday = 0;
  std::uint64_t time = 0;
  std::uint64_t getcpu = 0;
  std::uint64_t clock_getres = 0;
  std::uint64_t syscall_instruction = 0;
  std::uint64_t size = 0;
};

// A few kernels' symbol counts stand in DT_HASH, which every x86-64 vDSO carries or carried; newer ones have
// DT_GNU_HASH only, whose chains end with an odd hash.
std::size_t symbol_count(const Elf64_Word* hash, const Elf64_Word* gnu_hash) {
  if (hash != nullptr) {
    return hash[1];
  }
  if (gnu_hash == nullptr) {
    return 0;
  }
  const Elf64_Word buckets = gnu_hash[0];
  const Elf64_Word first = gnu_hash[1];
  const Elf64_Word* bucket = gnu_hash + 4 + gnu_hash[2] * 2;
  const Elf64_Word* chain = bucket + buckets;
  Elf64_Word last = 0;
  for (Elf64_Word i = 0; i < buckets; ++i) {
    last = bucket[i] > last ? bucket[i] : last;
  }
  if (last < first) {
    return first;
  }
  while ((chain[last - first] & 1U) == 0) {
    ++last;
  }
  return last + 1;
}

KernelVdso read_kernel_vdso() {
  KernelVdso found;
  const auto base = ::getauxval(AT_SYSINFO_EHDR);
  if (base == 0) {
    return found;
  }
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  const auto* segments = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
  const Elf64_Dyn* dynamic = nullptr;
  for (int i = 0; i < header->e_phnum; ++i) {
    const Elf64_Phdr& segment = segments[i];
    if (segment.p_type == PT_DYNAMIC) {
      dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segment.p_offset);
    }
    if (segment.p_type == PT_LOAD) {
      found.size = (segment.p_offset + segment.p_memsz + kPage - 1) / kPage * kPage;
      const auto* bytes = reinterpret_cast<const unsigned char*>(base + segment.p_offset);
      for (std::size_t at = 0; at + 1 < segment.p_filesz && found.syscall_instruction == 0; ++at) {
        if (bytes[at] == 0x0f && bytes[at + 1] == 0x05) {
          found.syscall_instruction = segment.p_offset + at;
        }
      }
    }
  }
  const Elf64_Sym* symbols = nullptr;
  const char* strings = nullptr;
  const Elf64_Word* hash = nullptr;
  const Elf64_Word* gnu_hash = nullptr;
  for (; dynamic != nullptr && dynamic->d_tag != DT_NULL; ++dynamic) {
    const auto at = base + dynamic->d_un.d_ptr;
    switch (dynamic->d_tag) {
      case DT_SYMTAB:
        symbols = reinterpret_cast<const Elf64_Sym*>(at);
        break;
      case DT_STRTAB:
        strings = reinterpret_cast<const char*>(at);
        break;
      case DT_HASH:
        hash = reinterpret_cast<const Elf64_Word*>(at);
        break;
      case DT_GNU_HASH:
        gnu_hash = reinterpret_cast<const Elf64_Word*>(at);
        break;
      default:
        break;
    }
  }
  const std::size_t count = symbols != nullptr && strings != nullptr ? symbol_count(hash, gnu_hash) : 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view name(strings + symbols[i].st_name);
    const auto set = [&](std::string_view wanted, std::uint64_t& place) {
      if (name == wanted) {
        place = symbols[i].st_value;
      }
    };
    set("__vdso_clock_gettime", found.clock_gettime);
    set("__vdso_gettimeofday", found.gettimeofday);
    set("__vdso_time", found.time);
    set("__vdso_getcpu", found.getcpu);
    set("__vdso_clock_getres", found.clock_getres);
  }
  return found;
}

const KernelVdso& kernel_vdso() {
  static const KernelVdso found = read_kernel_vdso();
  return found;
}

// The auxiliary vector on a fresh stack: argc, the arguments, 0, the environment, 0, then pairs up to AT_NULL.
class FreshStack {
 public:
  FreshStack(GuestMemory memory, std::uint64_t stack_pointer) : memory_(memory), at_(stack_pointer) {}

  // The address of the value of entry `type`, and the value.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> find(std::uint64_t type) {
    const auto argc = next();
    if (!argc) {
      return std::nullopt;
    }
    skip(*argc + 1);
    for (;;) {
      const auto variable = next();
      if (!variable) {
        return std::nullopt;
      }
      if (*variable == 0) {
        break;
      }
    }
    for (;;) {
      const auto key = next();
      const std::uint64_t place = position();
      const auto value = next();
      if (!key || !value || *key == AT_NULL) {
        return std::nullopt;
      }
      if (*key == type) {
        return std::pair{place, *value};
      }
    }
  }

 private:
  [[nodiscard]] std::uint64_t position() const { return at_ - (filled_ - index_) * 8; }
  void skip(std::uint64_t words) {
    const std::uint64_t target = position() + words * 8;
    at_ = target;
    index_ = filled_ = 0;
  }
  std::optional<std::uint64_t> next() {
    if (index_ == filled_) {
      // Up to a page boundary first: the page behind the stack's top is not there.
      const std::size_t room = 4096 - at_ % 4096;
      const std::size_t got = memory_.read_some(at_, words_, room < sizeof words_ ? room : sizeof words_) / 8;
      if (got == 0) {
        return std::nullopt;
      }
      filled_ = got;
      index_ = 0;
      at_ += got * 8;
    }
    return words_[index_++];
  }

  GuestMemory memory_;
  std::uint64_t at_;
  std::uint64_t words_[512]{};
  std::size_t index_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace

std::optional<std::uint64_t> find_in_auxiliary_vector(const GuestMemory& memory, std::uint64_t initial_stack,
                                                      std::uint64_t type) {
  const auto found = FreshStack(memory, initial_stack).find(type);
  return found ? std::optional(found->second) : std::nullopt;
}

std::uint64_t kernel_vdso_syscall_offset() {
  return kernel_vdso().syscall_instruction;
}

std::uint64_t kernel_vdso_size() {
  return kernel_vdso().size;
}

AgentPage agent_page(std::uint64_t kernel, std::uint64_t entry, const ClockOffsets& clocks) {
  static_assert(BEAM_AGENT_SLOTS - BEAM_AGENT_BASE == sizeof(AgentPage));
  static_assert(BEAM_AGENT_DATA + sizeof(BeamAgentData) <= BEAM_AGENT_SLOTS);
  const auto vdso_size = static_cast<std::size_t>(beam_vdso_image_end - beam_vdso_image);
  const auto code_size = static_cast<std::size_t>(beam_agent_code_end - beam_agent_code);
  BEAM_CHECK(vdso_size <= BEAM_AGENT_VDSO_LIMIT);
  BEAM_CHECK(code_size <= BEAM_AGENT_DATA - BEAM_AGENT_CODE);
  AgentPage page{};
  std::memcpy(page.bytes + (BEAM_AGENT_VDSO - BEAM_AGENT_BASE), beam_vdso_image, vdso_size);
  std::memcpy(page.bytes + (BEAM_AGENT_CODE - BEAM_AGENT_BASE), beam_agent_code, code_size);
  const KernelVdso& offsets = kernel_vdso();
  const auto place = [kernel](std::uint64_t offset) { return offset != 0 && kernel != 0 ? kernel + offset : 0; };
  BeamAgentData data{};
  data.entry = entry;
  data.kernel_clock_gettime = place(offsets.clock_gettime);
  data.kernel_gettimeofday = place(offsets.gettimeofday);
  data.kernel_time = place(offsets.time);
  data.kernel_getcpu = place(offsets.getcpu);
  data.kernel_clock_getres = place(offsets.clock_getres);
  data.monotonic_offset = clocks.monotonic_ns;
  data.boottime_offset = clocks.boottime_ns;
  std::memcpy(page.bytes + (BEAM_AGENT_DATA - BEAM_AGENT_BASE), &data, sizeof data);
  return page;
}

namespace {

// Maps and fills the agent with the help of a system call instruction of the kernel's vDSO, and announces Beam's own.
AgentMapping map_agent(StoppedTracee& tracee, AddressSpace& space, std::uint64_t initial_stack, std::uint64_t entry,
                       const ClockOffsets& clocks, bool filtered) {
  std::uint64_t probe = 0;
  if (const int error = tracee.memory().read(initial_stack, &probe, sizeof probe); error != 0) {
    return error == EPERM ? AgentMapping::kUnreadable : AgentMapping::kNone;
  }
  FreshStack stack(tracee.memory(), initial_stack);
  const auto vdso = stack.find(AT_SYSINFO_EHDR);
  const std::uint64_t instruction = kernel_vdso_syscall_offset();
  if (!vdso || instruction == 0) {
    BEAM_LOG_WARN(kInterpose, "task {}: no vDSO in its auxiliary vector, so it runs without the agent",
                  tracee.tid().value());
    return AgentMapping::kNone;
  }
  const std::array<std::uint64_t, 6> where{BEAM_AGENT_BASE,
                                           BEAM_AGENT_END - BEAM_AGENT_BASE,
                                           PROT_READ | PROT_WRITE | PROT_EXEC,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                                           ~0ULL,
                                           0};
  const std::uint64_t gadget = vdso->second + instruction;
  const auto mapped = filtered ? tracee.inject_as_from(gadget, BEAM_AGENT_GADGET + 2, SYS_mmap, where)
                               : tracee.inject(gadget, SYS_mmap, where);
  if (!mapped.ok()) {
    return AgentMapping::kNone;
  }
  if (*mapped != BEAM_AGENT_BASE) {
    BEAM_LOG_WARN(kInterpose, "task {}: the agent's place is taken ({}), so it runs without", tracee.tid().value(),
                  -*mapped);
    return AgentMapping::kNone;
  }
  const AgentPage page = agent_page(vdso->second, entry, clocks);
  const std::uint64_t own_vdso = BEAM_AGENT_VDSO;
  if (tracee.memory().write(BEAM_AGENT_BASE, page.bytes, sizeof page.bytes) != 0 ||
      tracee.memory().write(vdso->first, &own_vdso, sizeof own_vdso) != 0) {
    return AgentMapping::kNone;
  }
  space.agent_mapped = true;
  space.kernel_vdso = vdso->second;
  return AgentMapping::kMapped;
}

}  // namespace

AgentMapping map_agent_at_exec(StoppedTracee& tracee, AddressSpace& space, const ClockOffsets& clocks, bool filtered) {
  // Out of execve(2) first: until then the kernel still writes its result into rax. Blocked, no signal can come in
  // between.
  const auto mask = tracee.signal_mask();
  bool stop_request_used = false;
  if (!mask || !tracee.set_signal_mask(~(1ULL << (SIGTRAP - 1))) || !tracee.step(stop_request_used)) {
    return AgentMapping::kNone;
  }
  if (stop_request_used) {
    tracee.request_stop();
  }
  if (!tracee.set_signal_mask(*mask)) {
    return AgentMapping::kNone;
  }
  auto* regs = tracee.regs();
  if (regs == nullptr) {
    return AgentMapping::kNone;
  }
  const AgentMapping mapping = map_agent(tracee, space, regs->rsp, regs->rip, clocks, filtered);
  if (mapping == AgentMapping::kMapped) {
    regs->rip = BEAM_AGENT_START;
    tracee.set_regs_changed();
  }
  return mapping;
}

AgentMapping map_agent_under_way(StoppedTracee& tracee, AddressSpace& space, const ClockOffsets& clocks,
                                 bool filtered) {
  const auto initial_stack = read_proc_start_stack(tracee.tid());
  if (!initial_stack) {
    return AgentMapping::kNone;
  }
  const AgentMapping mapping = map_agent(tracee, space, *initial_stack, 0, clocks, filtered);
  if (mapping != AgentMapping::kMapped) {
    return mapping;
  }
  constexpr std::uint64_t kSize = BEAM_AGENT_END - BEAM_AGENT_BASE;
  const auto sealed =
      tracee.inject(BEAM_AGENT_GADGET, SYS_mprotect, {BEAM_AGENT_BASE, kSize, PROT_READ | PROT_EXEC, 0, 0, 0});
  if (!sealed.ok() || !tracee.inject(BEAM_AGENT_GADGET, SYS_mseal, {BEAM_AGENT_BASE, kSize, 0, 0, 0, 0}).ok()) {
    return AgentMapping::kNone;
  }
  return mapping;
}

}  // namespace beam::interpose
