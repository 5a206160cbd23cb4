// The mount view of a sandbox: the workstation's files, copy-on-write, with what its options put elsewhere, kept in
// user space. Paths are resolved here, component by component where a symbolic link is on the way and in one step where
// none is, always from a directory's descriptor and with symbolic links left to this code; the kernel never follows
// one.
//
// Owns: the tree of special places (view_tree.h) and the descriptor of the layer's directory. Holds: nobody but this
// object changes the layer while it lives, and every change happens under the lock, so what was resolved under it stays
// true under it. Paths of the view are absolute and canonical where a parameter is called `view`. Functions return 0 or
// an errno value, the one that the kernel would give. Safe to use from any thread; the calling thread's umask and file
// system ids are those of the program.
#pragma once

#include <linux/openat2.h>
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "rootfs/proc_path.h"
#include "rootfs/view_options.h"
#include "rootfs/view_tree.h"

namespace beam::rootfs {

// The /proc of the caller.
class ProcHook {
 public:
  virtual ~ProcHook() = default;
  [[nodiscard]] virtual ProcNode walk(std::string_view rest, bool follow) const = 0;
};

// A path argument and whose it is.
struct Where {
  std::string root = "/";  // the caller's root, in the view
  std::string base = {};   // where a relative path starts, in the view; empty: in a directory that is not in the view
  std::string path = {};
  const ProcHook* proc = nullptr;
};

enum FindFlags : unsigned {
  kFollow = 1,      // the last component
  kNoSymlinks = 2,  // RESOLVE_* of openat2(2)
  kNoMagicLinks = 4,
  kBeneath = 8,
  kInRoot = 16,
  kNoXdev = 32,
};

struct Found {
  enum class Kind {
    kFile,    // in the view; `spot` says where
    kProc,    // of /proc: `proc`
    kObject,  // what a link of /proc leads to, with no path in the view: `link` is that link
  };
  Kind kind = Kind::kFile;
  Spot spot;                     // its node is the view's, and may be gone when the call has returned
  const Mount* mount = nullptr;  // of a kFile
  UniqueFd fd;                   // O_PATH
  struct stat status {};         // as the program has to see it
  ProcNode proc;
  std::string link;
  bool writable_object = false;  // the descriptor that the link leads to is open for writing
  bool in_layer = false;         // a kObject: a file of the layer that has no name any more
};

class View {
 public:
  static Result<std::unique_ptr<View>> create(const ViewOptions& options);
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  [[nodiscard]] int find(const Where& where, unsigned flags, Found& found) const;

  struct Opened {
    UniqueFd fd;             // what the program gets; none:
    bool by_kernel = false;  // the caller has to open `host` itself (FIFOs, devices, O_PATH)
    std::string host;
    Found found;  // kProc and kObject are the caller's business, and nothing was opened
  };
  [[nodiscard]] int open(const Where& where, int flags, mode_t mode, unsigned find_flags, Opened& opened);

  [[nodiscard]] int make_directory(const Where& where, mode_t mode);
  [[nodiscard]] int make_node(const Where& where, mode_t mode, dev_t device);
  [[nodiscard]] int make_link(const std::string& target, const Where& where);
  [[nodiscard]] int link(const Where& from, bool follow, const Where& to);
  [[nodiscard]] int remove(const Where& where, bool directory);
  [[nodiscard]] int rename(const Where& from, const Where& to, unsigned flags);
  // Runs `change` on an O_PATH descriptor of what may be written: of a copy, when it was the workstation's. The
  // change's own errno value is returned.
  enum class Right { kOwner, kWrite, kOwnerOrWrite, kAny };
  using Change = std::function<int(int fd)>;
  [[nodiscard]] int change(const Where& where, bool follow, Right right, const Change& change, Found& found);
  // The same for a file that a descriptor of the caller leads to. `host`: its path on the workstation.
  [[nodiscard]] int change_of(const std::string& host, int fd, Right right, const Change& change);
  // Makes changes by others in this directory, or to this file, happen where a watch on `host` sees them.
  [[nodiscard]] int prepare_watch(const Where& where, bool follow, std::string& host, Found& found);

  // Runs `make` where a new name is to come to be, as for the socket of a UNIX address.
  [[nodiscard]] int with_new_entry(const Where& where, const std::function<int(int directory, const char* name)>& make);

  // The workstation's path of what was found, for calls that the kernel does by path.
  [[nodiscard]] std::string host_path(const Spot& spot) const;
  // The view's path for a path of the workstation as the kernel tells it ("/x (deleted)" included). Nothing when the
  // directory or file is none of the view's any more.
  [[nodiscard]] std::optional<std::string> view_path(std::string_view host) const {
    const std::shared_lock lock(mutex_);
    return view_path_locked(host);
  }
  // Where a directory was that has been removed, as the kernel tells it, or that the view has no more.
  [[nodiscard]] std::optional<std::string> former_path(std::string_view host) const;
  // The same for showing: unchanged when the view has no better name.
  [[nodiscard]] std::string shown(std::string_view host) const;

  [[nodiscard]] std::string mounts_text() const;
  [[nodiscard]] std::string mountinfo_text() const;
  [[nodiscard]] std::string maps_text(std::string_view host_text) const;
  [[nodiscard]] const std::string& layer() const { return layer_path_; }

  // What of the view is not in its layer (view_memory.cc), so that another object can go on with a copy of the layer.
  struct Memory {
    // Directories of the workstation, without the leading slash, that are nowhere in the view any more.
    std::vector<std::string> removed;
    struct Stub {  // of a device or socket that has been moved: its place in the layer, and the workstation's file
      std::string place;
      std::string origin;
    };
    std::vector<Stub> stubs;
  };
  [[nodiscard]] Memory remember() const;
  void recall(const Memory& memory);
  // Whose an inode of the layer shows to be, where that isn't its owner.
  [[nodiscard]] std::optional<std::pair<uid_t, gid_t>> shown_owner(ino_t inode) const;
  void show_owner_as(const std::string& place, uid_t uid, gid_t gid);
  [[nodiscard]] const std::vector<std::unique_ptr<Mount>>& mounts() const { return mounts_; }

 private:
  View() = default;

  // --- places (view_tree.cc) ---
  [[nodiscard]] std::optional<std::string> view_path_locked(std::string_view host) const;
  [[nodiscard]] bool is_in_layer(std::string_view host) const {
    return host.starts_with(layer_path_) && host.size() > layer_path_.size() && host[layer_path_.size()] == '/';
  }
  Result<> add(const MountRequest& request);
  Result<> load(Node& node);
  Result<> furnish(Node& node, const MountRequest& request, bool fresh);
  [[nodiscard]] bool is_made_anew(const std::string& at) const;
  [[nodiscard]] Node* make_way(const std::string& at);
  [[nodiscard]] Spot locate(std::string_view view) const;
  [[nodiscard]] int anchor(const Spot& spot) const;
  [[nodiscard]] int open_spot(const Spot& spot, int flags, mode_t mode, UniqueFd& fd) const;
  [[nodiscard]] int look(const Spot& spot, UniqueFd& fd, struct stat& status) const;
  void show_owner(const Spot& spot, struct stat& status) const;

  // --- walking (view_walk.cc) ---
  class Walk;
  [[nodiscard]] int find_locked(const Where& where, unsigned flags, Found& found) const;
  struct Parent {
    Spot spot;
    std::string name;
    bool slash = false;    // behind the name
    bool in_proc = false;  // with EPERM: it is there
    std::string root;
    const ProcHook* proc = nullptr;
  };
  [[nodiscard]] int find_parent(const Where& where, unsigned flags, Parent& parent) const;

  // --- opening (view_open.cc) ---
  [[nodiscard]] int open_found(int flags, Opened& opened) const;
  [[nodiscard]] int open_for_change(const Where& where, int flags, mode_t mode, unsigned find_flags, Opened& opened);
  [[nodiscard]] int create_file(const Parent& parent, int flags, mode_t mode, Opened& opened);
  [[nodiscard]] int open_temporary(int flags, mode_t mode, Opened& opened);

  // --- the layer (layer.cc); under the exclusive lock ---
  // Makes the directory at `spot` one whose entries can be changed, and opens it (O_PATH). `node` is null for one that
  // is the layer's alone.
  struct Directory {
    UniqueFd fd;
    Node* node = nullptr;
    const Mount* mount = nullptr;
    Spot spot;
  };
  [[nodiscard]] int make_changeable(const Spot& spot, Directory& directory);
  [[nodiscard]] int shadow(Node& parent, const std::string& name, Node*& child);
  [[nodiscard]] int put_on_disk(Node& node);
  [[nodiscard]] int complete(Node& node);
  [[nodiscard]] int fill(Node& node, int lower, int layer, std::vector<std::string>& made);
  [[nodiscard]] int place_entry(Node& node, int lower, int layer, const std::string& name, unsigned char type);
  [[nodiscard]] static int place_mount_point(int directory, const std::string& name, const std::string& origin);
  [[nodiscard]] int place_stub(mode_t type, int directory, const std::string& name);
  [[nodiscard]] int keep_origin(const Node& node, const std::string& name, const std::string& origin);
  // The workstation's file at `from` under a further name: both are placeholders, until one of them is written to.
  [[nodiscard]] int link_stub(const Spot& from, const Parent& to);
  [[nodiscard]] int link_to_copy(const std::string& origin, const Directory& directory, const std::string& name);
  void count_links();
  // Puts a copy of the workstation's file at `spot` into the layer. `contents`: false when they are about to go anyway.
  [[nodiscard]] int copy_up(const Spot& spot, bool contents);
  void remember_owner(int fd, const struct stat& shown);

  // --- changing (view_change.cc) ---
  [[nodiscard]] int check_new(const Parent& parent) const;
  [[nodiscard]] int may_remove(const Spot& directory, const struct stat& entry) const;
  [[nodiscard]] int is_empty(const Spot& spot, bool& empty) const;
  void forget_entry(const Directory& directory, const std::string& name, const struct stat& status);
  // What the tree knows of an entry, on its way from one directory to another.
  struct Taken {
    std::string stub;  // the workstation's file behind it; empty: it is no stub
    std::unique_ptr<Node> node;
  };
  static Taken take(const Directory& directory, const std::string& name);
  void give(const Directory& directory, const std::string& name, Taken taken);
  void set_layer_path(Node& node, const std::string& path);
  void note_moved(Node& node);
  [[nodiscard]] Node* node_for(const Directory& directory);

  // --- attributes (view_attributes.cc) ---
  [[nodiscard]] static int may_change(const struct stat& status, int fd, Right right);
  void note_mode(const Spot& spot, int fd);
  [[nodiscard]] int bring_up(Spot& spot, const struct stat& status, UniqueFd& fd);

  std::string layer_path_;
  UniqueFd layer_;
  UniqueFd lower_;  // the workstation's root
  std::vector<std::unique_ptr<Mount>> mounts_;
  std::unique_ptr<Node> root_;
  // Directories of the workstation that are elsewhere in the view; null: they have been removed from it.
  std::map<std::string, Node*, std::less<>> moved_;
  struct Owner {
    uid_t uid;
    gid_t gid;
  };
  std::unordered_map<ino_t, Owner> owners_;  // of files in the layer that show another owner than they have
  // Files of the workstation that have several names in the view by link(2), and how many.
  std::unordered_map<std::string, nlink_t> linked_;
  dev_t layer_device_ = 0;
  unsigned long counter_ = 0;
  mutable std::shared_mutex mutex_;
};

}  // namespace beam::rootfs
