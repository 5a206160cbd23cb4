// The sandbox's /proc for path calls: who is in it, what a path argument leads to, and the texts and directories that
// stand for the workstation's.
//
// Owns: the private directory of the listings. Safe to use from any thread.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "interpose/guest_memory.h"
#include "interpose/syscall_args.h"
#include "interpose/task.h"
#include "rootfs/proc_listing.h"
#include "rootfs/proc_path.h"
#include "rootfs/proc_text.h"

namespace beam::interpose {

struct Shared;

class ProcView final : public rootfs::ProcTasks {
 public:
  // `place`: where the private directory is made; empty: the usual places.
  static Result<std::unique_ptr<ProcView>> create(Shared& shared, const std::string& place);

  [[nodiscard]] std::optional<rootfs::ProcTaskId> find(VirtualPid id) const override;
  [[nodiscard]] std::optional<rootfs::ProcTaskId> find(HostPid host) const override;
  [[nodiscard]] std::optional<std::string> listing_at(std::string_view host_path) const override;
  [[nodiscard]] bool has_mount_view() const override;

  // Where a path argument leads. Nothing when it has nothing to do with /proc, or is no path at all: the kernel's
  // business.
  [[nodiscard]] std::optional<rootfs::ProcNode> look(const Caller& caller, GuestFd dir, GuestPath path, bool follow);
  // The same for a path that has been read.
  [[nodiscard]] std::optional<rootfs::ProcNode> look(const Caller& caller, GuestFd dir, const std::string& path,
                                                     bool follow);
  // The node of a file outside /proc that is read with the sandbox's own text, by its path on the workstation.
  [[nodiscard]] std::optional<rootfs::ProcNode> look_at_host_file(const std::string& host) const;
  // How large its text is now.
  [[nodiscard]] std::size_t size_of_text(const Caller& caller, const rootfs::ProcNode& node) const;
  // A descriptor of the caller that is a link of /proc itself (O_PATH | O_NOFOLLOW).
  [[nodiscard]] std::optional<rootfs::ProcNode> look_at_descriptor(const Caller& caller, GuestFd fd);

  // A read-only file with the text of a kText node as the caller has to see it. 0, or an errno value.
  [[nodiscard]] int open_text(const Caller& caller, const rootfs::ProcNode& node, int flags, UniqueFd& fd);
  // What fstat(2) will say of the next open_text() of this caller: programs that copy a file compare (cp(1)).
  [[nodiscard]] int promise_text(const Caller& caller, const rootfs::ProcNode& node, struct stat& identity);
  // The directory to list for a kRoot or a kTaskList node.
  [[nodiscard]] int open_listing(const Caller& caller, const rootfs::ProcNode& node, int flags, UniqueFd& fd);
  // The same as fstat(2) of what open_listing() gives next to this caller.
  [[nodiscard]] int open_listing_for_stat(const Caller& caller, const rootfs::ProcNode& node, UniqueFd& fd);

  // The same for a path of the sandbox's /proc that a frozen program had open: "/proc", "/proc/7/task".
  [[nodiscard]] Result<UniqueFd> open_listing_again(const std::string& shown, int flags);

  // What the caller's descriptor or working directory (AT_FDCWD) is called on the workstation.
  [[nodiscard]] static std::optional<std::string> host_path_of(const Caller& caller, GuestFd dir);
  // True when a descriptor leads to a text or a listing, which lie on other file systems than /proc.
  [[nodiscard]] bool stands_for_proc(const std::string& host_path) const;
  [[nodiscard]] std::string shown(const std::string& host_path) const;
  // The same as far as it concerns /proc.
  [[nodiscard]] std::string proc_name(const std::string& host_path) const {
    return rootfs::shown_path(host_path, *this);
  }

  // Someone has waited for the process, or nobody has to.
  void process_is_gone(VirtualPid process) { listing_->forget(process); }

  // Until the first of them, no relative path needs a look: some process of the sandbox stands in, or has open, a
  // directory of /proc.
  // A program has opened or entered this node: when it is a directory of /proc, or a link that stays one, relative
  // paths may start from there from now on.
  void note_opened(const rootfs::ProcNode& node, int flags);
  void directory_is_held() { directory_held_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool may_hold_directory() const { return directory_held_.load(std::memory_order_relaxed); }

  // A program has made a symbolic link that may lead to /proc: until the first, the letters of a path say where it
  // leads.
  void link_is_made() { link_made_.store(true, std::memory_order_relaxed); }

 private:
  // Whom fstat(2)'s and open(2)'s answers have to agree for.
  struct LastStat {
    HostPid tid;
    std::string shown;
  };

  // A memory file that stat(2) has shown and that no open(2) has taken yet.
  struct Promise {
    HostPid process;
    std::string shown;
    UniqueFd file;
  };

  // Where a path starts in /proc, and the rest of it. An empty base is a directory that the sandbox does not have.
  struct Start {
    std::string base = "/proc";
    std::string rest;
    bool native = true;
  };

  [[nodiscard]] std::optional<Start> start_of(const Caller& caller, GuestFd dir, const std::string& path, bool follow);
  ProcView(Shared& shared, std::unique_ptr<rootfs::ProcListing> listing);
  [[nodiscard]] bool is_zombie(HostPid host) const;
  [[nodiscard]] std::vector<VirtualPid> processes() const;
  [[nodiscard]] std::vector<VirtualPid> threads_of(VirtualPid process) const;
  [[nodiscard]] int text_of(const Caller& caller, const rootfs::ProcNode& node, std::string& text) const;
  [[nodiscard]] rootfs::ProcTask facts_of(const Caller& caller, const rootfs::ProcTaskId& id, char state) const;
  [[nodiscard]] std::vector<VirtualPid> adopted_children(const rootfs::ProcTaskId& id) const;
  [[nodiscard]] int list(const rootfs::ProcNode& node, int flags, bool same_inode, UniqueFd& fd);

  Shared& shared_;
  std::unique_ptr<rootfs::ProcListing> listing_;
  std::atomic<bool> directory_held_{false};
  std::atomic<bool> link_made_{false};
  std::mutex mutex_;
  LastStat last_stat_;
  std::deque<Promise> promises_;  // the oldest first, and few
};

}  // namespace beam::interpose
