#include "interpose/host_path.h"

#include <cerrno>

#include "interpose/shared.h"

namespace beam::interpose {

Caller caller_of(const RewriteCall& call) {
  const Task& task = call.task();
  return Caller{task.tid, task.vtid, task.process};
}

Rewrite with_host_path(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, bool follow,
                       std::unique_ptr<HostPathCall> progress) {
  const auto node = call.shared().proc->look(caller_of(call), dir, path, follow);
  return node ? with_host_path(call, *node, index, std::move(progress)) : Rewrite::pass();
}

Rewrite with_host_path(RewriteCall& call, const rootfs::ProcNode& node, std::size_t index,
                       std::unique_ptr<HostPathCall> progress) {
  if (node.kind == rootfs::ProcNode::Kind::kError) {
    return Rewrite::error(node.error);
  }
  std::string path = node.host;
  // What a program keeps of such a path, as a script's interpreter does, has no id of the workstation in it.
  const std::string own = "/proc/" + std::to_string(call.task().process->host.value()) + "/";
  if (path.starts_with(own)) {
    path = "/proc/self/" + path.substr(own.size());
  }
  const std::uint64_t place = call.put(*progress, path.c_str(), path.size() + 1);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, index, place);
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace beam::interpose
