// What an exec runs where there is a mount view. The kernel gets the workstation's path of an executable; a script's
// interpreter is looked up here, as the kernel does (fs/binfmt_script.c), because it is to be found in the view.
#pragma once

#include <string>
#include <vector>

#include "interpose/call.h"
#include "rootfs/view.h"

namespace beam::interpose {

struct Program {
  std::string host;  // what the kernel executes
  std::string name;  // as the program gave it: its last component becomes the name of the task
  // Of a script: takes the place of argv[0].
  std::vector<std::string> prefix;
  bool closes = false;         // its name goes by a descriptor that an exec closes
  bool by_descriptor = false;  // a file without a path in the view, which the kernel finds by the caller's descriptor
};

// 0, or the errno value of execve(2). `found` is the file, and the name in `program` what a script is told; relative
// interpreters start `here`, where the caller is.
[[nodiscard]] int find_program(const rootfs::View& view, const rootfs::Where& here, rootfs::Found found,
                               Program& program);

// At the exec event, when the new program has the workstation's path: AT_EXECFN and the task's name become those of
// `name`, which is no longer than that path (place_program).
void show_program_name(StoppedTracee& tracee, const std::string& name, bool filtered);

// Points path and, for a script, argv at copies.
[[nodiscard]] int place_program(RewriteCall& call, CallInProgress& progress, const Program& program,
                                std::size_t path_index, std::uint64_t argv);

}  // namespace beam::interpose
