#include "interpose/own_filters.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "interpose/agent/layout.h"

namespace beam::interpose {
namespace {

sock_filter statement(int code, std::uint32_t k) {
  return BPF_STMT(static_cast<std::uint16_t>(code), k);
}
sock_filter jump(int code, std::uint32_t k, int yes, int no) {
  return BPF_JUMP(static_cast<std::uint16_t>(code), k, static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no));
}

bool is_return(const sock_filter& instruction) {
  return BPF_CLASS(instruction.code) == BPF_RET;
}

// No jump may reach what is appended, and the program has to end by itself: else it is the kernel's to refuse.
bool well_formed(const std::vector<sock_filter>& program) {
  if (program.empty() || program.size() > BPF_MAXINSNS || !is_return(program.back())) {
    return false;
  }
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& instruction = program[at];
    if (is_return(instruction) && instruction.code != (BPF_RET | BPF_K) && instruction.code != (BPF_RET | BPF_A)) {
      return false;
    }
    if (BPF_CLASS(instruction.code) != BPF_JMP) {
      continue;
    }
    const std::size_t left = program.size() - at - 1;
    const bool fits =
        BPF_OP(instruction.code) == BPF_JA ? instruction.k < left : instruction.jt < left && instruction.jf < left;
    if (!fits) {
      return false;
    }
  }
  return true;
}

// The verdict is in X. Ends with it, unless the call is one that passes.
void append_end(std::vector<sock_filter>& program) {
  const sock_filter end[] = {
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 5, 0),
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer) + 4),
      jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer)),
      jump(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_BASE, 0, 2),
      jump(BPF_JMP | BPF_JGE | BPF_K, BEAM_AGENT_DATA, 1, 0),
      statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      statement(BPF_MISC | BPF_TXA, 0),
      statement(BPF_ALU | BPF_AND | BPF_K, SECCOMP_RET_ACTION_FULL),
      jump(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_RET_TRACE, 0, 1),
      statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      statement(BPF_MISC | BPF_TXA, 0),
      statement(BPF_RET | BPF_A, 0),
  };
  program.insert(program.end(), std::begin(end), std::end(end));
}

}  // namespace

std::vector<sock_filter> rewrite_own_filter(const std::vector<sock_filter>& program) {
  if (!well_formed(program)) {
    return {};
  }
  std::vector<sock_filter> changed = program;
  // Behind the program: for each verdict, one piece that loads it into X. All of them jump to the end.
  struct Piece {
    sock_filter load;
    std::vector<std::size_t> from;
  };
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& instruction = program[at];
    const bool constant = instruction.code == (BPF_RET | BPF_K);
    if (!is_return(instruction) || (constant && (instruction.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW)) {
      continue;
    }
    const sock_filter load =
        constant ? statement(BPF_LDX | BPF_W | BPF_IMM, instruction.k) : statement(BPF_MISC | BPF_TAX, 0);
    Piece* piece = nullptr;
    for (Piece& known : pieces) {
      if (known.load.code == load.code && known.load.k == load.k) {
        piece = &known;
      }
    }
    if (piece == nullptr) {
      piece = &pieces.emplace_back(Piece{load, {}});
    }
    piece->from.push_back(at);
  }
  if (pieces.empty()) {
    return changed;
  }
  const std::size_t end = program.size() + pieces.size() * 2;
  for (const Piece& piece : pieces) {
    for (const std::size_t at : piece.from) {
      changed[at] = statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(changed.size() - at - 1));
    }
    changed.push_back(piece.load);
    changed.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(end - changed.size() - 1)));
  }
  append_end(changed);
  return changed;
}

std::vector<sock_filter> strict_filter() {
  return {
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 4, 0),
      jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
      jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 2, 0),
      jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
      statement(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
}

}  // namespace beam::interpose
