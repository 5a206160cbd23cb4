// What getdents64(2) shows of /proc and of /proc/N/task in a sandbox: directories that look like them, with an empty
// directory for every virtual id, kept in a private place and brought up to date when one of them is opened. Reading a
// directory so costs the program nothing but the kernel's own call.
//
// Owns: the private directory, 0700, and all in it, removed with the object; a directory that a killed supervisor left
// behind is removed by the next create() in the same place. Holds: ids appear in ascending order, as the kernel lists
// them. Safe to use from any thread.
#pragma once

#include <sys/types.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace beam::rootfs {

class ProcListing {
 public:
  // `place`: where to make the private directory; empty: $XDG_RUNTIME_DIR, /dev/shm or /tmp, the first that is no part
  // of the root's file system, so that what stays within one file system stays out of /proc.
  static Result<std::unique_ptr<ProcListing>> create(const std::string& place);
  ~ProcListing();
  ProcListing(const ProcListing&) = delete;
  ProcListing& operator=(const ProcListing&) = delete;

  // The directory for /proc with these processes, in ascending order, opened for reading with `flags` besides. Its
  // inode changes with who is in it, unless it has to be the one that a call before has shown (`same_inode`): programs
  // that walk a tree compare it (fts(3)); then whoever reads it at this moment may miss entries.
  Result<UniqueFd> open_root(const std::vector<VirtualPid>& processes, int flags, bool same_inode = false);
  // The same for /proc/PROCESS/task.
  Result<UniqueFd> open_tasks(VirtualPid process, const std::vector<VirtualPid>& threads, int flags,
                              bool same_inode = false);
  // The process is gone: whoever has a listing open and reads it now does not find it any more.
  void forget(VirtualPid process);
  // What a path of the workstation is a listing of: "/proc", "/proc/7/task"; also once it has been removed.
  [[nodiscard]] std::optional<std::string> shown(std::string_view host_path) const;
  // The names of the workstation's /proc that are no ids, sorted.
  [[nodiscard]] const std::vector<std::string>& names_of_root();
  [[nodiscard]] const std::string& path() const { return path_; }

  // How the file system of the private directory lists what was made one after the other.
  enum class Order { kOldestFirst, kNewestFirst };
  [[nodiscard]] Order order();
  // For tests: what the file system does is measured.
  void assume_order(Order order);

 private:
  struct Entry {
    std::string name;
    mode_t type;
  };
  struct Snapshot {
    std::string name;  // in the private directory; empty: none made yet
    UniqueFd directory;
    std::vector<VirtualPid> ids;
  };

  ProcListing(std::string path, UniqueFd directory, UniqueFd lock);
  Result<> bring_up_to_date(Snapshot& snapshot, const std::string& stem, const std::vector<VirtualPid>& ids,
                            const std::vector<Entry>& fixed, bool same_inode);
  Result<> make_anew(Snapshot& snapshot, const std::string& stem, const std::vector<VirtualPid>& ids,
                     const std::vector<Entry>& fixed);
  Result<> fill(const Snapshot& snapshot, const std::vector<Entry>& fixed) const;
  Result<UniqueFd> open(const Snapshot& snapshot, int flags) const;
  static bool remove_entries(const Snapshot& snapshot, const std::vector<VirtualPid>& ids);
  void retire(std::string name);
  // Measures and reads once what the first listing needs, so that a start does not wait for it.
  void prepare();
  void measure_order();
  void read_names();

  const std::string path_;
  UniqueFd directory_;
  UniqueFd lock_;
  std::once_flag prepared_;
  Order order_ = Order::kOldestFirst;
  std::vector<std::string> names_;
  std::vector<Entry> fixed_;
  std::mutex mutex_;
  unsigned made_ = 0;
  Snapshot root_;
  std::map<VirtualPid, Snapshot> tasks_;
  std::deque<std::string> retired_;  // may still be read by someone
};

}  // namespace beam::rootfs
