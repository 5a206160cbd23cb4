// inotify_add_watch(2): the kernel's own, once the path has been noted (watched_paths.h).
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

BEAM_SYSCALL(inotify_add_watch, Strategy::kAnswer, GuestFd, GuestPath path, unsigned mask) {
  std::string text;
  if (call.memory().read_string(path.address(), text, PATH_MAX) == 0 && !text.empty()) {
    const std::optional<std::string> directory =
        text.starts_with('/') ? std::string() : ProcView::host_path_of(call.caller, GuestFd(AT_FDCWD));
    if (directory) {
      call.shared.watched_paths.note(directory->empty() ? text : *directory + "/" + text, (mask & IN_DONT_FOLLOW) == 0);
    }
  }
  return Answer::pass();
}

}  // namespace
}  // namespace beam::interpose
