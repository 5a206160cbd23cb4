#include "rootfs/proc_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>

#include "rootfs/proc_entry.h"

namespace beam::rootfs {
namespace {

constexpr std::string_view kProc = "/proc";
constexpr std::string_view kMemoryFile = "/memfd:proc:";
constexpr std::string_view kOtherMemoryFile = "/memfd:file:";
constexpr std::string_view kDeleted = " (deleted)";
constexpr int kMostLinks = 40;  // MAXSYMLINKS, linux/namei.h

// As the kernel reads a name in /proc (name_to_int in fs/proc/util.c): decimal, no leading zero.
std::optional<pid_t> id_of(std::string_view name) {
  if (name.empty() || (name.size() > 1 && name[0] == '0')) {
    return std::nullopt;
  }
  pid_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size() || value <= 0) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::string> read_link(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  if (size <= 0 || size == sizeof target) {
    return std::nullopt;
  }
  return std::string(target, static_cast<std::size_t>(size));
}

// Whether `path` is /proc or below it; `rest` gets what follows.
bool is_in_proc(std::string_view path, std::string_view& rest) {
  if (!path.starts_with(kProc) || (path.size() > kProc.size() && path[kProc.size()] != '/')) {
    return false;
  }
  rest = path.substr(kProc.size());
  return true;
}

// Where the walk stands.
enum class Place {
  kProcess,   // /proc/N
  kTaskList,  // /proc/N/task
  kThread,    // /proc/N/task/T
  kLinks,     // fd, ns, map_files: a directory of links that the kernel makes up
  kFdinfo,
  kBelow,
};

struct Step {
  Place place;
  std::string host;
  std::string shown;
  ProcTaskId task;  // whose directory this is in
  ProcFile file = ProcFile::kPlain;
};

ProcFile file_of_view(std::string_view name) {
  if (name == "mounts" || name == "mountinfo" || name == "mountstats") {
    return ProcFile::kMounts;
  }
  return name == "maps" || name == "smaps" || name == "numa_maps" ? ProcFile::kMaps : ProcFile::kPlain;
}

ProcFile file_of_task(Place place, std::string_view name) {
  if (name == "stat") {
    return ProcFile::kStat;
  }
  if (name == "status") {
    return ProcFile::kStatus;
  }
  if (name == "sched") {
    return ProcFile::kSched;
  }
  if (name == "timers" && place == Place::kProcess) {
    return ProcFile::kTimers;
  }
  if (name == "children" && place == Place::kThread) {
    return ProcFile::kChildren;
  }
  return ProcFile::kPlain;
}

struct RootFile {
  std::string_view path;
  ProcFile file;
};
constexpr RootFile kRootFiles[] = {
    {"/loadavg", ProcFile::kLoadavg},
    {"/locks", ProcFile::kLocks},
    {"/sysvipc/shm", ProcFile::kSysvipc},
    {"/sysvipc/msg", ProcFile::kSysvipc},
    {"/sysvipc/sem", ProcFile::kSysvipc},
    {"/sys/kernel/ns_last_pid", ProcFile::kLastPid},
    {"/sys/kernel/hostname", ProcFile::kHostName},
};

class Walker {
 public:
  Walker(const ProcTasks& tasks, const ProcTaskId& caller) : tasks_(tasks), caller_(caller) {}

  ProcNode run(std::string_view base, bool base_native, std::string_view rest, bool follow) {
    follow_ = true;
    std::string_view in_base;
    if (!is_in_proc(base, in_base)) {
      return error(ENOENT);
    }
    todo_ = std::string(in_base);
    if (auto end = steps()) {
      return std::move(*end);
    }
    node_.native = base_native;
    follow_ = follow;
    todo_ = std::string(rest);
    if (auto end = steps()) {
      return std::move(*end);
    }
    return finish();
  }

 private:
  static ProcNode error(int code) {
    ProcNode node;
    node.kind = ProcNode::Kind::kError;
    node.error = code;
    return node;
  }

  // Walks `todo_` to its end. A node when the walk ends before, or elsewhere.
  std::optional<ProcNode> steps() {
    while (!todo_.empty()) {
      std::string_view left = todo_;
      const std::string name(next_component(left));
      // The kernel asks for a directory where a slash or a dot follows.
      const bool last = left.find_first_not_of('/') == std::string_view::npos;
      slash_ = last && !left.empty();
      todo_ = std::string(left);
      if (last) {
        todo_.clear();
      }
      if (name.empty()) {
        continue;
      }
      auto end = step(name, last && !slash_);
      if (end) {
        return end;
      }
      if (slash_ && todo_.empty()) {
        must_be_directory_ = true;
      }
    }
    return std::nullopt;
  }

  std::optional<ProcNode> step(const std::string& name, bool last) {
    if (name == ".") {
      must_be_directory_ = true;
      return std::nullopt;
    }
    if (name == "..") {
      return step_up();
    }
    if (name.size() > NAME_MAX) {
      return error(ENAMETOOLONG);
    }
    if (at_.empty()) {
      return step_from_root(name, last);
    }
    const Step& here = at_.back();
    switch (here.place) {
      case Place::kProcess:
      case Place::kThread:
        return step_from_task(name, last);
      case Place::kTaskList:
        return step_to_thread(name);
      case Place::kLinks:
        return link(name, last);
      case Place::kFdinfo:
        push(Place::kBelow, name, name, here.task, ProcFile::kFdinfo);
        return std::nullopt;
      case Place::kBelow:
        push(Place::kBelow, name, name, here.task);
        return std::nullopt;
    }
    return std::nullopt;
  }

  std::optional<ProcNode> step_up() {
    if (at_.empty()) {
      return beyond("/", todo_);
    }
    if (at_.back().place == Place::kBelow) {
      struct stat status {};
      if (::stat(host_path().c_str(), &status) != 0) {
        return error(errno);
      }
      if (!S_ISDIR(status.st_mode)) {
        return error(ENOTDIR);
      }
    }
    at_.pop_back();
    return std::nullopt;
  }

  std::optional<ProcNode> step_from_root(const std::string& name, bool last) {
    const bool thread_self = name == "thread-self";
    if (name == "self" || thread_self) {
      if (last && !follow_) {
        ProcNode node = std::move(node_);
        node.kind = ProcNode::Kind::kSelf;
        node.host = "/proc/" + name;
        node.shown = node.host;
        const std::string process = std::to_string(caller_.process.value());
        node.target = thread_self ? process + "/task/" + std::to_string(caller_.id.value()) : process;
        return node;
      }
      push_caller(thread_self);
      return std::nullopt;
    }
    if (name == "mounts" || name == "net") {
      // Links to self/mounts and self/net.
      if (!last || follow_) {
        push_caller(false);
      }
      const bool view = name == "mounts" && tasks_.has_mount_view();
      push(Place::kBelow, name, name, {}, view ? ProcFile::kMounts : ProcFile::kPlain);
      return std::nullopt;
    }
    if (all_digits(name)) {
      const auto id = id_of(name);
      const auto task = id ? tasks_.find(VirtualPid(*id)) : std::nullopt;
      if (!task) {
        return error(ENOENT);
      }
      node_.native = false;
      push(Place::kProcess, std::to_string(task->host.value()), name, *task);
      return std::nullopt;
    }
    push(Place::kBelow, name, name, {});
    return std::nullopt;
  }

  void push_caller(bool thread) {
    ProcTaskId process = caller_;
    process.host = caller_.host_process;
    process.id = caller_.process;
    push(Place::kProcess, std::to_string(process.host.value()), std::to_string(process.id.value()), process);
    if (thread) {
      push(Place::kTaskList, "task", "task", process);
      push(Place::kThread, std::to_string(caller_.host.value()), std::to_string(caller_.id.value()), caller_);
    }
  }

  std::optional<ProcNode> step_from_task(const std::string& name, bool last) {
    const Step& here = at_.back();
    if (name == "cwd" || name == "root" || name == "exe") {
      return link(name, last);
    }
    if (name == "task" && here.place == Place::kProcess) {
      push(Place::kTaskList, name, name, here.task);
    } else if (name == "fd" || name == "ns" || name == "map_files") {
      push(Place::kLinks, name, name, here.task);
    } else if (name == "fdinfo") {
      push(Place::kFdinfo, name, name, here.task);
    } else {
      ProcFile file = file_of_task(here.place, name);
      if (file == ProcFile::kPlain && tasks_.has_mount_view()) {
        file = file_of_view(name);
      }
      push(Place::kBelow, name, name, here.task, file);
    }
    return std::nullopt;
  }

  std::optional<ProcNode> step_to_thread(const std::string& name) {
    const auto id = id_of(name);
    const auto task = id ? tasks_.find(VirtualPid(*id)) : std::nullopt;
    if (!task || task->process != at_.back().task.process) {
      return error(ENOENT);
    }
    node_.native = false;
    push(Place::kThread, std::to_string(task->host.value()), name, *task);
    return std::nullopt;
  }

  // A link that the kernel makes up, in the directory where the walk stands.
  std::optional<ProcNode> link(const std::string& name, bool last) {
    const ProcTaskId task = at_.back().task;
    push(Place::kBelow, name, name, task);
    const std::string host = host_path();
    if (last && !follow_) {
      ProcNode node = std::move(node_);
      node.kind = ProcNode::Kind::kLink;
      node.host = host;
      node.shown = shown();
      node.task = task;
      return node;
    }
    const auto target = read_link(host);
    if (!target) {
      return beyond(host, todo_);  // the kernel says why
    }
    std::string_view behind;
    const auto listing = tasks_.listing_at(*target);
    if (listing && !last) {
      return again(*listing, todo_);
    }
    if (!listing && is_in_proc(*target, behind) && !target->ends_with(kDeleted)) {
      return again(shown_path(*target, tasks_), todo_);
    }
    if (!last && target->starts_with('/')) {
      std::size_t prefix = 0;
      const std::string whole = *target + "/" + todo_;
      if (const auto rest = enter_proc(whole, prefix)) {
        return again("/proc", *rest);
      }
    }
    return beyond(host, todo_);
  }

  std::optional<ProcNode> again(const std::string& base, std::string_view rest) {
    if (++links_ > kMostLinks) {
      return error(ELOOP);
    }
    std::string_view in_base;
    if (!is_in_proc(base, in_base)) {
      return error(ENOENT);
    }
    // What the kernel finds by the same way has the workstation's ids in it.
    node_.native = false;
    at_.clear();
    todo_ = std::string(in_base) + (rest.empty() && !slash_ ? "" : "/") + std::string(rest);
    return std::nullopt;
  }

  std::optional<ProcNode> beyond(const std::string& host, const std::string& rest) {
    std::size_t prefix = 0;
    if (host == "/") {
      const std::string whole = "/" + rest;
      if (const auto behind = enter_proc(whole, prefix)) {
        const bool native = node_.native;
        auto end = again("/proc", *behind);
        node_.native = native;
        return end;
      }
    }
    ProcNode node = std::move(node_);
    node.kind = ProcNode::Kind::kBeyond;
    const bool joint = host != "/" && !rest.starts_with('/') && (!rest.empty() || slash_);
    if (host != "/") {
      node.link = host;
      node.rest = (joint ? "/" : "") + rest;
    } else {
      node.rest = rest;
    }
    node.host = host == "/" ? "/" + rest.substr(std::min(rest.find_first_not_of('/'), rest.size()))
                            : host + (joint ? "/" : "") + rest;
    return node;
  }

  ProcNode finish() {
    ProcNode node = std::move(node_);
    node.host = host_path();
    node.shown = shown();
    if (at_.empty()) {
      node.kind = ProcNode::Kind::kRoot;
      return node;
    }
    const Step& here = at_.back();
    node.task = here.task;
    if (here.place == Place::kTaskList) {
      node.kind = ProcNode::Kind::kTaskList;
      return node;
    }
    ProcFile file = here.file;
    if (here.place == Place::kBelow && here.task.id == VirtualPid() && file == ProcFile::kPlain) {
      const auto found = std::find_if(std::begin(kRootFiles), std::end(kRootFiles), [&](const RootFile& known) {
        return known.path == std::string_view(node.shown).substr(kProc.size());
      });
      file = found != std::end(kRootFiles) ? found->file : ProcFile::kPlain;
    }
    if (must_be_directory_ && here.place == Place::kBelow) {
      node.host += '/';  // a file is refused by the kernel
      return node;
    }
    node.file = file;
    node.kind = file != ProcFile::kPlain ? ProcNode::Kind::kText : ProcNode::Kind::kPlain;
    return node;
  }

  void push(Place place, std::string host, std::string name, const ProcTaskId& task, ProcFile file = ProcFile::kPlain) {
    must_be_directory_ = false;
    at_.push_back({place, std::move(host), std::move(name), task, file});
  }

  [[nodiscard]] std::string host_path() const {
    std::string path(kProc);
    for (const Step& step : at_) {
      path += '/' + step.host;
    }
    return path;
  }

  [[nodiscard]] std::string shown() const {
    std::string path(kProc);
    for (const Step& step : at_) {
      path += '/' + step.shown;
    }
    return path;
  }

  const ProcTasks& tasks_;
  const ProcTaskId& caller_;
  ProcNode node_;
  std::vector<Step> at_;
  std::string todo_;
  bool follow_ = true;
  bool slash_ = false;  // behind the last component
  bool must_be_directory_ = false;
  int links_ = 0;
};

}  // namespace

ProcNode ProcWalk::walk(std::string_view base, bool base_native, std::string_view rest, bool follow) const {
  return Walker(tasks_, caller_).run(base, base_native, rest, follow);
}

std::optional<std::string> shown_proc_path(std::string_view host, const ProcTasks& tasks) {
  std::string_view rest;
  if (!is_in_proc(host, rest)) {
    return std::nullopt;
  }
  std::string path(kProc);
  bool after_task = false;
  for (int depth = 0; depth < 3; ++depth) {
    std::string_view left = rest;
    const std::string_view name = next_component(left);
    if (name.empty()) {
      break;
    }
    if (depth == 1) {
      after_task = name == "task";
    }
    const bool id_stands_here = depth == 0 || (depth == 2 && after_task);
    const auto id = id_stands_here ? id_of(name) : std::nullopt;
    const auto task = id ? tasks.find(HostPid(*id)) : std::nullopt;
    if (id && !task) {
      return std::nullopt;
    }
    if (depth == 0 && !task) {
      break;
    }
    path += '/' + (task ? std::to_string(task->id.value()) : std::string(name));
    rest = left;
  }
  return path + std::string(rest);
}

std::string shown_path(std::string_view host, const ProcTasks& tasks) {
  if (host.starts_with(kMemoryFile) && host.ends_with(kDeleted)) {
    host.remove_suffix(kDeleted.size());
    return "/proc/" + std::string(host.substr(kMemoryFile.size()));
  }
  if (host.starts_with(kOtherMemoryFile) && host.ends_with(kDeleted)) {
    host.remove_suffix(kDeleted.size());
    return std::string(host.substr(kOtherMemoryFile.size()));
  }
  const auto shown = shown_proc_path(host, tasks);
  return shown ? *shown : tasks.listing_at(host).value_or(std::string(host));
}

bool shows_mappings(std::string_view path) {
  constexpr std::array<std::string_view, 5> kFiles = {"/maps", "/smaps", "/smaps_rollup", "/numa_maps", "/pagemap"};
  return path.find("/map_files") != std::string_view::npos ||
         std::any_of(kFiles.begin(), kFiles.end(), [&](auto file) { return path.ends_with(file); });
}

std::string text_file_name(std::string_view shown) {
  std::string_view rest;
  if (!is_in_proc(shown, rest)) {
    return "file:" + std::string(shown);
  }
  return "proc:" + std::string(shown.substr(std::min(shown.size(), kProc.size() + 1)));
}

}  // namespace beam::rootfs
