// Paths of the sandbox's /proc: which of the workstation's paths a virtual one stands for, and the reverse. The walk
// goes component by component, since self, cwd, root and the links in fd lead anywhere, /proc itself included.
//
// Owns nothing. Safe to use from any thread, as far as the given ProcTasks is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace beam::rootfs {

// A thread of the sandbox, or a zombie of it.
struct ProcTaskId {
  HostPid host;
  HostPid host_process;
  VirtualPid id;
  VirtualPid process;
};

// Who is in the sandbox.
class ProcTasks {
 public:
  virtual ~ProcTasks() = default;
  // Nothing for an id that no thread or zombie of the sandbox has now.
  [[nodiscard]] virtual std::optional<ProcTaskId> find(VirtualPid id) const = 0;
  [[nodiscard]] virtual std::optional<ProcTaskId> find(HostPid host) const = 0;
  // Where the directory of a listing lies: the snapshot that stands for "/proc" or "/proc/N/task" (proc_listing.h).
  [[nodiscard]] virtual std::optional<std::string> listing_at(std::string_view host_path) const = 0;
  // Whether the sandbox has a mount view: then mounts and maps have texts of their own.
  [[nodiscard]] virtual bool has_mount_view() const { return false; }
};

// Files with ids in them. What has none is kPlain.
enum class ProcFile {
  kPlain,
  kStat,
  kStatus,
  kChildren,
  kSched,
  kTimers,
  kFdinfo,
  kLoadavg,
  kLocks,
  kSysvipc,
  kLastPid,
  kHostName,
  kMounts,  // mounts, mountinfo, mountstats of a process: the view's, where there is one
  kHosts,   // /etc/hosts and /etc/hostname, which are no files of /proc but have a text of the sandbox's, too
  kEtcHostName,
  kMaps,  // maps, smaps, numa_maps: paths of the view, where there is one
};

struct ProcNode {
  enum class Kind {
    kRoot,      // /proc itself
    kTaskList,  // /proc/N/task
    kText,      // a file whose text has to be translated
    kSelf,      // the link self or thread-self, not followed; `target` is where it leads
    kLink,      // a link whose target the kernel makes up: cwd, exe, root, those in fd, ns and map_files; not followed
    kPlain,     // another file or directory of /proc
    kBeyond,    // what lies behind a followed link, or above /proc
    kError,
  };
  Kind kind = Kind::kPlain;
  // The kernel finds the very same by the path that the program gave.
  bool native = true;
  // The workstation's path, absolute; with `native` it need not be used.
  std::string host;
  // The sandbox's, for all but kBeyond.
  std::string shown;
  std::string target;
  // Of a kBeyond that a followed link leads to: the link, as a path of the workstation, and the rest of the path behind
  // it.
  std::string link;
  std::string rest;
  ProcFile file = ProcFile::kPlain;
  ProcTaskId task{};  // whose file it is; ids 0 for those of /proc itself
  int error = 0;
};

class ProcWalk {
 public:
  ProcWalk(const ProcTasks& tasks, const ProcTaskId& caller) : tasks_(tasks), caller_(caller) {}

  // `base`: a path of the sandbox in /proc ("/proc/7/fd"), in which `rest` is looked up; `base_native`: the caller's
  // own directory is the workstation's of the same meaning.
  [[nodiscard]] ProcNode walk(std::string_view base, bool base_native, std::string_view rest, bool follow) const;

 private:
  const ProcTasks& tasks_;
  const ProcTaskId& caller_;
};

// The sandbox's name for a path of the workstation in /proc. Nothing for other paths, and for what is about a process
// outside.
[[nodiscard]] std::optional<std::string> shown_proc_path(std::string_view host, const ProcTasks& tasks);

// A path of the workstation as the program has to see it: links of descriptors, working directories and executables
// lead to /proc/HOSTPID, to snapshots and to the memory files that hold translated texts. Unchanged when it is neither.
[[nodiscard]] std::string shown_path(std::string_view host, const ProcTasks& tasks);

// Whether a file of /proc, by its path, shows what a process has mapped.
[[nodiscard]] bool shows_mappings(std::string_view path);

// The name of the memory file that holds the text of `shown` ("/proc/1/stat"), as memfd_create(2) takes it.
[[nodiscard]] std::string text_file_name(std::string_view shown);

}  // namespace beam::rootfs
