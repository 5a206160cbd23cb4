#include "interpose/program.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "interpose/agent.h"
#include "rootfs/host_file.h"

namespace beam::interpose {
namespace {

using rootfs::Found;

constexpr int kMostInterpreters = 5;       // fs/exec.c, exec_binprm
constexpr std::size_t kHeaderSize = 256;   // BINPRM_BUF_SIZE
constexpr std::size_t kTaskNameSize = 16;  // TASK_COMM_LEN

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::string read_header(int fd) {
  std::string header(kHeaderSize, '\0');
  const UniqueFd file(::open(rootfs::descriptor_path(fd).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const ssize_t got = file ? ::pread(file.get(), header.data(), header.size(), 0) : 0;
  header.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return header;
}

// "#!interpreter argument". 0, or ENOEXEC.
int parse_header(const std::string& header, std::string& interpreter, std::string& argument) {
  // A line without an end is cut before the last byte.
  std::string line = header.substr(2, header.find('\n') == std::string::npos ? kHeaderSize - 3 : header.find('\n') - 2);
  const bool cut = header.find('\n') == std::string::npos && header.size() == kHeaderSize;
  line = line.substr(0, line.find('\0'));
  std::size_t from = 0;
  while (from < line.size() && is_blank(line[from])) {
    ++from;
  }
  std::size_t end = from;
  while (end < line.size() && !is_blank(line[end])) {
    ++end;
  }
  if (end == from || (cut && end == line.size())) {
    return ENOEXEC;
  }
  interpreter = line.substr(from, end - from);
  while (end < line.size() && is_blank(line[end])) {
    ++end;
  }
  std::size_t last = line.size();
  while (last > end && is_blank(line[last - 1])) {
    --last;
  }
  argument = line.substr(end, last - end);
  return 0;
}

int check_executable(const Found& found) {
  if (S_ISLNK(found.status.st_mode)) {
    return ELOOP;
  }
  if (!S_ISREG(found.status.st_mode)) {
    return EACCES;
  }
  return ::faccessat(found.fd.get(), "", X_OK, AT_EMPTY_PATH | AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

int find_program(const rootfs::View& view, const rootfs::Where& here, Found found, Program& program) {
  std::string script = program.name;
  for (int depth = 0;; ++depth) {
    if (found.kind == Found::Kind::kProc) {
      return EACCES;
    }
    if (const int error = check_executable(found); error != 0) {
      return error;
    }
    const std::string header = read_header(found.fd.get());
    if (!header.starts_with("#!")) {
      break;
    }
    if (depth == kMostInterpreters) {
      return ELOOP;
    }
    std::string interpreter;
    std::string argument;
    if (const int error = parse_header(header, interpreter, argument); error != 0) {
      return error;
    }
    if (program.closes) {
      return ENOENT;  // its interpreter would not find it any more
    }
    std::vector<std::string> words{interpreter};
    if (!argument.empty()) {
      words.push_back(argument);
    }
    words.push_back(script);
    if (!program.prefix.empty()) {
      program.prefix.erase(program.prefix.begin());
    }
    program.prefix.insert(program.prefix.begin(), words.begin(), words.end());
    script = interpreter;
    rootfs::Where next = here;
    next.path = interpreter;
    Found behind;
    if (const int error = view.find(next, rootfs::kFollow, behind); error != 0) {
      return error;
    }
    found = std::move(behind);
  }
  if (found.kind == Found::Kind::kObject) {
    program.by_descriptor = true;
    program.host = found.link;
    return 0;
  }
  program.host = view.host_path(found.spot);
  return program.host.size() < PATH_MAX ? 0 : ENAMETOOLONG;
}

int place_program(RewriteCall& call, CallInProgress& progress, const Program& program, std::size_t path_index,
                  std::uint64_t argv) {
  // Slashes in front make room for the name that the new program is to see instead.
  std::string path = program.host;
  if (path.size() < program.name.size()) {
    path.insert(0, program.name.size() - path.size(), '/');
  }
  const std::uint64_t place = call.put(progress, path.c_str(), path.size() + 1);
  if (place == 0) {
    return ENOMEM;
  }
  if (program.prefix.empty()) {
    call.set_arg(progress, path_index, place);
    return 0;
  }
  std::vector<std::uint64_t> pointers(program.prefix.size());
  std::string strings;
  std::vector<std::size_t> offsets;
  for (const std::string& word : program.prefix) {
    offsets.push_back(strings.size());
    strings.append(word).push_back('\0');
  }
  constexpr std::size_t kMost = std::size_t{BEAM_AGENT_SLOT_COUNT} * BEAM_AGENT_SLOT_SIZE / sizeof(std::uint64_t);
  for (std::uint64_t at = argv;; at += sizeof(std::uint64_t)) {
    std::uint64_t pointer = 0;
    if (argv != 0) {
      if (const int error = call.memory().read(at, &pointer, sizeof pointer); error != 0) {
        return error;
      }
    }
    if (at != argv || pointer == 0) {
      pointers.push_back(pointer);
    }
    if (pointer == 0) {
      break;
    }
    if (pointers.size() > kMost) {
      return E2BIG;
    }
  }
  const std::size_t array = pointers.size() * sizeof(std::uint64_t);
  std::vector<char> block(array + strings.size());
  std::memcpy(block.data() + array, strings.data(), strings.size());
  const std::uint64_t words = call.put(progress, block.data(), block.size());
  if (words == 0) {
    return E2BIG;
  }
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    pointers[i] = words + array + offsets[i];
  }
  if (const int error = call.memory().write_forced(words, pointers.data(), array); error != 0) {
    return error;
  }
  call.set_arg(progress, path_index, place);
  call.set_arg(progress, path_index + 1, words);
  return 0;
}

void show_program_name(StoppedTracee& tracee, const std::string& name, bool filtered) {
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr || name.empty()) {
    return;
  }
  const auto entry = find_in_auxiliary_vector(tracee.memory(), regs->rsp, AT_EXECFN);
  if (entry) {
    (void)tracee.memory().write(*entry, name.c_str(), name.size() + 1);
  }
  char task_name[kTaskNameSize]{};
  const std::string last = name.substr(name.rfind('/') + 1);
  last.copy(task_name, kTaskNameSize - 1);
  if (tracee.memory().write_forced(BEAM_AGENT_SLOTS, task_name, sizeof task_name) != 0) {
    return;
  }
  const std::array<std::uint64_t, 6> arguments{PR_SET_NAME, BEAM_AGENT_SLOTS, 0, 0, 0, 0};
  (void)(filtered ? tracee.inject_as_from(BEAM_AGENT_GADGET, BEAM_AGENT_GADGET + 2, SYS_prctl, arguments)
                  : tracee.inject(BEAM_AGENT_GADGET, SYS_prctl, arguments));
}

}  // namespace beam::interpose
