// Path arguments where the sandbox has a mount view: reading them, finding what they lead to, and doing it as the
// caller.
#pragma once

#include <string>

#include "interpose/call.h"
#include "interpose/host_path.h"
#include "interpose/shared.h"
#include "rootfs/host_file.h"
#include "rootfs/view.h"

namespace beam::interpose {

// A path of a caller. Holds pointers into itself: neither copied nor moved.
class ViewPath final : public rootfs::ProcHook {
 public:
  ViewPath(Shared& shared, const Caller& caller) : shared_(shared), caller_(caller) { where_.proc = this; }
  ViewPath(const ViewPath&) = delete;
  ViewPath& operator=(const ViewPath&) = delete;

  // 0, or the errno value that the call ends with. `empty_is_descriptor`: an empty path is what `dir` itself leads to.
  [[nodiscard]] int read(GuestFd dir, GuestPath path, bool empty_is_descriptor = false);
  [[nodiscard]] int set(GuestFd dir, std::string path, bool empty_is_descriptor = false);
  // Stands for a descriptor itself.
  [[nodiscard]] int set_descriptor(GuestFd fd);

  [[nodiscard]] const rootfs::Where& where() const { return where_; }
  [[nodiscard]] const std::string& path() const { return where_.path; }
  [[nodiscard]] bool is_descriptor() const { return is_descriptor_; }
  [[nodiscard]] rootfs::ProcNode walk(std::string_view rest, bool follow) const override;

 private:
  void start_at_removed(const std::string& host, GuestFd dir);

  Shared& shared_;
  const Caller& caller_;
  rootfs::Where where_;
  bool is_descriptor_ = false;
};

// What was found where it is a file of the workstation's own that the sandbox reads with a text of its own
// (ProcView::look_at_host_file).
[[nodiscard]] std::optional<rootfs::ProcNode> host_file(const AnswerCall& call, const rootfs::Found& found);

// Whether `host` lists the caller's own descriptors or mappings, to which it may do anything (proc_fd_permission,
// fs/proc/fd.c), and the supervisor may not.
[[nodiscard]] bool is_own_list(const Caller& caller, const std::string& host);

// While it lives, this thread makes files as the caller would: with its umask, and, where root's processes have changed
// their ids, under those.
class ActAs {
 public:
  // access(2) asks for the real ids, everything else for those of the file system (credentials(7)).
  enum class Ids { kFileSystem, kReal };
  explicit ActAs(const Caller& caller, bool makes_files = false, Ids ids = Ids::kFileSystem);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  bool ids_changed_ = false;
  bool umask_changed_ = false;
};
// Once in every thread that answers: so that its umask is its own.
void prepare_to_act();

// Points argument `index` at the workstation's path, for what the kernel has to do itself.
[[nodiscard]] Rewrite with_view_path(RewriteCall& call, const std::string& host, std::size_t index,
                                     std::unique_ptr<CallInProgress> progress = std::make_unique<HostPathCall>());

}  // namespace beam::interpose
