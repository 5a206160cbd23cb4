#include "interpose/proc_view.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "rootfs/host_file.h"
#include "rootfs/proc_entry.h"
#include "rootfs/view.h"

namespace beam::interpose {
namespace {

using rootfs::ProcFile;
using rootfs::ProcNode;
using rootfs::ProcTaskId;

// What a program reads who its neighbours are from (hosts(5), hostname(5)).
constexpr std::string_view kEtc = "/etc/";
constexpr std::string_view kHosts = "/etc/hosts";
constexpr std::string_view kEtcHostName = "/etc/hostname";

int read_whole(const std::string& path, std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return errno;
  }
  constexpr std::size_t kChunk = 16384;
  text.clear();
  for (;;) {
    const std::size_t size = text.size();
    text.resize(size + kChunk);
    const ssize_t got = ::read(fd.get(), text.data() + size, kChunk);
    text.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got <= 0) {
      return got == 0 ? 0 : errno;
    }
  }
}

UniqueFd make_memory_file(const ProcNode& node) {
  return UniqueFd(::memfd_create(rootfs::text_file_name(node.shown).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

// Fills and seals it, and opens it again for reading only: writing to it fails as writing to the file of /proc does.
int finish_memory_file(const UniqueFd& file, const std::string& text, int flags, UniqueFd& fd) {
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fchmod(file.get(), 0444) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return errno;
  }
  fd.reset(::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDONLY | O_CLOEXEC | flags));
  return fd ? 0 : errno;
}

std::optional<std::string> read_link(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  if (size <= 0 || size == sizeof target) {
    return std::nullopt;
  }
  return std::string(target, static_cast<std::size_t>(size));
}

std::string task_path(HostPid tid) {
  return "/proc/" + std::to_string(tid.value());
}

// Whether the first part of `path`, which has a "..", leads to /proc for real: a link before the ".." would lead
// elsewhere.
bool leads_to_proc(const std::string& path, std::size_t prefix) {
  struct stat there {};
  struct stat proc {};
  return ::stat(path.substr(0, prefix).c_str(), &there) == 0 && ::stat("/proc", &proc) == 0 &&
         there.st_dev == proc.st_dev && there.st_ino == proc.st_ino;
}

// A caller in another root has no /proc but what it finds there. Only root can have changed it (chroot(2)).
bool in_own_root(HostPid tid) {
  static const bool can_differ = ::geteuid() == 0;
  return !can_differ || read_link(task_path(tid) + "/root") == "/";
}

}  // namespace

Result<std::unique_ptr<ProcView>> ProcView::create(Shared& shared, const std::string& place) {
  BEAM_TRY_ASSIGN(auto listing, rootfs::ProcListing::create(place));
  return std::unique_ptr<ProcView>(new ProcView(shared, std::move(listing)));
}

ProcView::ProcView(Shared& shared, std::unique_ptr<rootfs::ProcListing> listing)
    : shared_(shared), listing_(std::move(listing)) {}

// --- who is in the sandbox ---

// A process that has ended stays in the task table until someone has waited for it, and a little longer where nobody
// has to.
bool ProcView::is_zombie(HostPid host) const {
  const auto stat = read_proc_stat(host);
  return stat && (stat->state == 'Z' || stat->state == 'X');
}

std::optional<ProcTaskId> ProcView::find(HostPid host) const {
  if (const auto task = shared_.tasks.caller(host)) {
    return ProcTaskId{host, task->process->host, task->vtid, task->process->vpid};
  }
  const auto process = shared_.tasks.process(host);
  if (process != nullptr && is_zombie(host)) {
    return ProcTaskId{host, host, process->vpid, process->vpid};
  }
  return std::nullopt;
}

std::optional<ProcTaskId> ProcView::find(VirtualPid id) const {
  const HostPid host = shared_.pids.to_host(id);
  return host == HostPid() ? std::nullopt : find(host);
}

std::optional<std::string> ProcView::listing_at(std::string_view host_path) const {
  return listing_->shown(host_path);
}

bool ProcView::has_mount_view() const {
  return shared_.view != nullptr;
}

std::vector<VirtualPid> ProcView::processes() const {
  std::vector<VirtualPid> list;
  std::vector<std::pair<HostPid, VirtualPid>> ended;
  {
    const std::shared_lock lock(shared_.tasks.mutex());
    for (const auto& [host, process] : shared_.tasks.processes()) {
      if (process->threads > 0) {
        list.push_back(process->vpid);
      } else {
        ended.emplace_back(host, process->vpid);
      }
    }
  }
  for (const auto& [host, vpid] : ended) {
    if (is_zombie(host)) {
      list.push_back(vpid);
    }
  }
  std::sort(list.begin(), list.end());
  return list;
}

std::vector<VirtualPid> ProcView::threads_of(VirtualPid process) const {
  std::vector<VirtualPid> list;
  {
    const std::shared_lock lock(shared_.tasks.mutex());
    for (const auto& [host, task] : shared_.tasks.tasks()) {
      if (task->process->vpid == process) {
        list.push_back(task->vtid);
      }
    }
  }
  if (list.empty()) {
    list.push_back(process);  // a zombie has its leader left
  }
  std::sort(list.begin(), list.end());
  return list;
}

// --- what a path leads to ---

std::optional<std::string> ProcView::host_path_of(const Caller& caller, GuestFd dir) {
  const std::string task = task_path(caller.tid);
  std::string path;
  const int error = rootfs::read_proc_link(
      dir.value() == AT_FDCWD ? task + "/cwd" : task + "/fd/" + std::to_string(dir.value()), path);
  return error == 0 ? std::optional(std::move(path)) : std::nullopt;
}

void ProcView::note_opened(const ProcNode& node, int flags) {
  using Kind = ProcNode::Kind;
  if (may_hold_directory() || node.kind == Kind::kError || node.kind == Kind::kBeyond) {
    return;
  }
  struct stat status {};
  if ((flags & O_PATH) != 0 || node.kind == Kind::kRoot || node.kind == Kind::kTaskList ||
      (::stat(node.host.c_str(), &status) == 0 && S_ISDIR(status.st_mode))) {
    directory_is_held();
  }
}

std::optional<ProcNode> ProcView::look(const Caller& caller, GuestFd dir, GuestPath path, bool follow) {
  std::string text;
  if (GuestMemory(caller.tid).read_string(path.address(), text, PATH_MAX) != 0) {
    return std::nullopt;  // the kernel says what is wrong with it
  }
  return look(caller, dir, text, follow);
}

std::optional<ProcView::Start> ProcView::start_of(const Caller& caller, GuestFd dir, const std::string& path,
                                                  bool follow) {
  const bool absolute = path.starts_with('/');
  if (absolute) {
    std::size_t prefix = 0;
    const auto rest = rootfs::enter_proc(path, prefix);
    if (rest && (prefix == 0 || leads_to_proc(path, prefix))) {
      return Start{"/proc", std::string(*rest), true};
    }
  }
  const bool by_links = link_made_.load(std::memory_order_relaxed);
  const bool by_directory =
      !absolute && may_hold_directory() && rootfs::relative_may_concern_proc(path, listing_->names_of_root());
  if (!by_links && !by_directory) {
    return std::nullopt;
  }
  std::optional<std::string> directory;
  if (!absolute) {
    directory = host_path_of(caller, dir);
    if (!directory) {
      return std::nullopt;
    }
    if (const auto listed = listing_at(*directory)) {
      return Start{*listed, path, false};
    }
    if (const auto known = rootfs::shown_proc_path(*directory, *this)) {
      return Start{*known, path, true};
    }
    // About a process outside: a directory that the sandbox was started in or given. Of one that has ended the kernel
    // says so.
    struct stat status {};
    if (directory->starts_with("/proc/") && ::stat(directory->c_str(), &status) == 0) {
      return Start{"", path, false};
    }
  }
  if (by_links) {
    if (const auto rest = rootfs::enter_proc_by_links(directory.value_or("/"), path, follow)) {
      return Start{"/proc", *rest, true};
    }
  }
  return std::nullopt;
}

std::optional<ProcNode> ProcView::look_at_host_file(const std::string& host) const {
  const ProcFile file = host == kHosts         ? ProcFile::kHosts
                        : host == kEtcHostName ? ProcFile::kEtcHostName
                                               : ProcFile::kPlain;
  if (file == ProcFile::kPlain || !shared_.options.names) {
    return std::nullopt;
  }
  ProcNode node;
  node.kind = ProcNode::Kind::kText;
  node.file = file;
  node.host = node.shown = host;
  return node;
}

std::size_t ProcView::size_of_text(const Caller& caller, const ProcNode& node) const {
  std::string text;
  return text_of(caller, node, text) == 0 ? text.size() : 0;
}

std::optional<ProcNode> ProcView::look(const Caller& caller, GuestFd dir, const std::string& path, bool follow) {
  if (auto node = path.starts_with(kEtc) ? look_at_host_file(path) : std::nullopt; node && in_own_root(caller.tid)) {
    return node;
  }
  const auto start = path.empty() ? std::nullopt : start_of(caller, dir, path, follow);
  if (!start || !in_own_root(caller.tid)) {
    return std::nullopt;
  }
  const ProcTaskId id{caller.tid, caller.process->host, caller.vtid, caller.process->vpid};
  return rootfs::ProcWalk(*this, id).walk(start->base, start->native, start->rest, follow);
}

std::optional<ProcNode> ProcView::look_at_descriptor(const Caller& caller, GuestFd fd) {
  const auto link = may_hold_directory() ? host_path_of(caller, fd) : std::nullopt;
  if (!link) {
    return std::nullopt;
  }
  return link->starts_with("/proc/") ? look(caller, GuestFd(AT_FDCWD), proc_name(*link), false) : std::nullopt;
}

bool ProcView::stands_for_proc(const std::string& host_path) const {
  return listing_at(host_path) || (!host_path.starts_with("/proc") && proc_name(host_path) != host_path);
}

std::string ProcView::shown(const std::string& host_path) const {
  std::string name = proc_name(host_path);
  return name == host_path && shared_.view != nullptr ? shared_.view->shown(host_path) : name;
}

// --- texts ---

rootfs::ProcTask ProcView::facts_of(const Caller& caller, const ProcTaskId& id, char state) const {
  rootfs::ProcTask facts;
  facts.id = id.id;
  facts.process = id.process;
  bool stopped = false;
  bool in_vfork = false;
  std::shared_ptr<Process> process;
  {
    const std::shared_lock lock(shared_.tasks.mutex());
    if (const Task* task = shared_.tasks.find(id.host)) {
      process = task->process;
      stopped = task->state == RunState::kGroupStop;
      in_vfork = task->state == RunState::kInVfork;
      facts.no_new_privs = task->no_new_privs;
      if (task->filters != nullptr) {
        facts.seccomp_mode = task->filters->strict ? SECCOMP_MODE_STRICT : SECCOMP_MODE_FILTER;
        facts.seccomp_filters = task->filters->strict ? 0 : static_cast<int>(task->filters->list.size());
      }
    }
  }
  if (process == nullptr) {
    process = shared_.tasks.process(id.host_process);
  }
  if (process != nullptr) {
    facts.parent = shared_.parent_of(*process);
  }
  // Who asks is running, though it waits for the answer; and a stop by the tracer is none of the program's, unless it
  // keeps a stop by a signal, or stands for the kernel's uninterruptible wait in vfork(2).
  if (id.host == caller.tid) {
    facts.state = 'R';
  } else if (state == 't') {
    facts.state = stopped ? 'T' : in_vfork ? 'D' : 'R';
  }
  return facts;
}

// Orphans that came to the supervisor have the sandbox's first process for a parent in the view.
std::vector<VirtualPid> ProcView::adopted_children(const ProcTaskId& id) const {
  std::vector<VirtualPid> children;
  if (id.id != VirtualPid(1)) {
    return children;
  }
  std::vector<std::shared_ptr<Process>> processes;
  {
    const std::shared_lock lock(shared_.tasks.mutex());
    for (const auto& [host, process] : shared_.tasks.processes()) {
      if (!process->spawned) {
        processes.push_back(process);
      }
    }
  }
  for (const auto& process : processes) {
    const auto stat = read_proc_stat(process->host);
    if (stat && shared_.pids.to_virtual(stat->ppid) == VirtualPid()) {
      children.push_back(process->vpid);
    }
  }
  return children;
}

int ProcView::text_of(const Caller& caller, const ProcNode& node, std::string& text) const {
  const auto to_virtual = [this](HostPid host) { return shared_.pids.to_virtual(host); };
  if (node.file == ProcFile::kLastPid) {
    text = std::to_string(shared_.pids.last().value()) + "\n";
    return 0;
  }
  if (node.file == ProcFile::kMounts && shared_.view != nullptr) {
    const UniqueFd there(::open(node.host.c_str(), O_RDONLY | O_CLOEXEC));
    if (!there) {
      return errno;  // a process that has ended has none
    }
    text = node.host.ends_with("mountinfo") ? shared_.view->mountinfo_text() : shared_.view->mounts_text();
    return 0;
  }
  std::string host;
  const bool may_be_missing = node.file == ProcFile::kHosts || node.file == ProcFile::kEtcHostName;
  if (const int error = read_whole(node.host, host); error != 0 && !(may_be_missing && error == ENOENT)) {
    return error == ESRCH ? ENOENT : error;
  }
  switch (node.file) {
    case ProcFile::kStat:
      text = rootfs::proc_stat_text(host, facts_of(caller, node.task, rootfs::proc_state(host)), to_virtual);
      break;
    case ProcFile::kStatus:
      text = rootfs::proc_status_text(host, facts_of(caller, node.task, rootfs::proc_state(host)), to_virtual);
      break;
    case ProcFile::kChildren:
      text = rootfs::proc_children_text(host, adopted_children(node.task), to_virtual);
      break;
    case ProcFile::kSched:
      text = rootfs::proc_sched_text(host, facts_of(caller, node.task, 0));
      break;
    case ProcFile::kTimers:
      text = rootfs::proc_timers_text(host, to_virtual);
      break;
    case ProcFile::kFdinfo:
      text = rootfs::proc_fdinfo_text(host, to_virtual);
      break;
    case ProcFile::kMaps:
      text = shared_.view != nullptr ? shared_.view->maps_text(host) : host;
      break;
    case ProcFile::kMounts:
      text = host;
      break;
    case ProcFile::kLoadavg:
      text = rootfs::proc_loadavg_text(host, shared_.pids.last());
      break;
    case ProcFile::kLocks:
      text = rootfs::proc_locks_text(host, to_virtual);
      break;
    case ProcFile::kSysvipc:
      text = sysv_listing(shared_.sysv, rootfs::proc_sysvipc_text(host, to_virtual));
      break;
    case ProcFile::kHosts:
      text = ns::hosts_text(host, shared_.options.names());
      break;
    case ProcFile::kEtcHostName:
      text = shared_.options.host_name.empty() ? host : shared_.options.host_name + "\n";
      break;
    case ProcFile::kHostName: {
      const std::string name = shared_.host_name();
      text = name.empty() ? host : name + "\n";
      break;
    }
    case ProcFile::kLastPid:
    case ProcFile::kPlain:
      text = std::move(host);
      break;
  }
  return 0;
}

int ProcView::open_text(const Caller& caller, const ProcNode& node, int flags, UniqueFd& fd) {
  if (node.file == ProcFile::kFdinfo && caller.process->credentials_changed) {
    // The kernel asks who may trace whom, of the supervisor here: so the caller has to be the owner.
    struct stat own {};
    struct stat other {};
    if (::stat(task_path(caller.tid).c_str(), &own) != 0 || ::stat(task_path(node.task.host).c_str(), &other) != 0 ||
        (own.st_uid != 0 && own.st_uid != other.st_uid)) {
      return EACCES;
    }
  }
  std::string text;
  if (const int error = text_of(caller, node, text); error != 0) {
    return error;
  }
  UniqueFd file;
  {
    const std::lock_guard lock(mutex_);
    const auto promised = std::find_if(promises_.begin(), promises_.end(), [&](const Promise& promise) {
      return promise.process == caller.process->host && promise.shown == node.shown;
    });
    if (promised != promises_.end()) {
      file = std::move(promised->file);
      promises_.erase(promised);
    }
  }
  if (!file) {
    file = make_memory_file(node);
  }
  const int error = finish_memory_file(file, text, flags, fd);
  if (error != 0) {
    BEAM_LOG_ERROR(kInterpose, "make a memory file for {}: errno {}", node.shown, error);
  }
  return error;
}

int ProcView::promise_text(const Caller& caller, const ProcNode& node, struct stat& identity) {
  constexpr std::size_t kMost = 16;
  const std::lock_guard lock(mutex_);
  auto promised = std::find_if(promises_.begin(), promises_.end(), [&](const Promise& promise) {
    return promise.process == caller.process->host && promise.shown == node.shown;
  });
  if (promised == promises_.end()) {
    if (promises_.size() >= kMost) {
      promises_.pop_front();
    }
    promises_.push_back({caller.process->host, node.shown, make_memory_file(node)});
    promised = std::prev(promises_.end());
  }
  return ::fstat(promised->file.get(), &identity) == 0 ? 0 : errno;
}

// --- listings ---

int ProcView::list(const ProcNode& node, int flags, bool same_inode, UniqueFd& fd) {
  auto opened = node.kind == ProcNode::Kind::kRoot
                    ? listing_->open_root(processes(), flags, same_inode)
                    : listing_->open_tasks(node.task.process, threads_of(node.task.process), flags, same_inode);
  if (!opened.ok()) {
    BEAM_LOG_ERROR(kInterpose, "list {}: {}", node.shown, opened.error().message());
    return EIO;
  }
  fd = std::move(opened).value();
  return 0;
}

int ProcView::open_listing(const Caller& caller, const ProcNode& node, int flags, UniqueFd& fd) {
  bool same_inode = false;
  {
    const std::lock_guard lock(mutex_);
    same_inode = last_stat_.tid == caller.tid && last_stat_.shown == node.shown;
  }
  directory_is_held();
  return list(node, flags, same_inode, fd);
}

int ProcView::open_listing_for_stat(const Caller& caller, const ProcNode& node, UniqueFd& fd) {
  {
    const std::lock_guard lock(mutex_);
    last_stat_ = {caller.tid, node.shown};
  }
  return list(node, O_PATH, false, fd);
}

Result<UniqueFd> ProcView::open_listing_again(const std::string& shown, int flags) {
  directory_is_held();
  if (shown == "/proc") {
    return listing_->open_root(processes(), flags);
  }
  constexpr std::size_t kPrefix = sizeof "/proc/" - 1;
  const VirtualPid process(shown.size() > kPrefix ? std::atoi(shown.c_str() + kPrefix) : 0);
  if (process.value() <= 0) {
    return Error(ENOENT, "list " + shown);
  }
  return listing_->open_tasks(process, threads_of(process), flags);
}

}  // namespace beam::interpose
