#include "interpose/sysv_space.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <sstream>
#include <string>

namespace beam::interpose {
namespace {

union SemctlArgument {  // semctl(2): the caller defines it
  int value;
  semid_ds* set;
  unsigned short* array;
};

// Permissions and size of an object; false when it is gone.
bool look(SysvKind kind, int host, ipc_perm& permissions, std::uint64_t& amount) {
  switch (kind) {
    case SysvKind::kShm: {
      shmid_ds info{};
      const bool there = ::shmctl(host, IPC_STAT, &info) == 0;
      permissions = info.shm_perm;
      amount = info.shm_segsz;
      return there;
    }
    case SysvKind::kSem: {
      semid_ds info{};
      SemctlArgument argument{};
      argument.set = &info;
      const bool there = ::semctl(host, 0, IPC_STAT, argument) == 0;
      permissions = info.sem_perm;
      amount = info.sem_nsems;
      return there;
    }
    case SysvKind::kMsg: {
      msqid_ds info{};
      const bool there = ::msgctl(host, IPC_STAT, &info) == 0;
      permissions = info.msg_perm;
      amount = 0;
      return there;
    }
  }
  return false;
}

int make(SysvKind kind, std::uint64_t amount, int flags) {
  switch (kind) {
    case SysvKind::kShm:
      return ::shmget(IPC_PRIVATE, amount, flags | IPC_CREAT);
    case SysvKind::kSem:
      if (amount > INT_MAX) {
        errno = EINVAL;
        return -1;
      }
      return ::semget(IPC_PRIVATE, static_cast<int>(amount), flags | IPC_CREAT);
    case SysvKind::kMsg:
      return ::msgget(IPC_PRIVATE, flags | IPC_CREAT);
  }
  return -1;
}

void remove(SysvKind kind, int host) {
  switch (kind) {
    case SysvKind::kShm:
      ::shmctl(host, IPC_RMID, nullptr);
      return;
    case SysvKind::kSem:
      ::semctl(host, 0, IPC_RMID);
      return;
    case SysvKind::kMsg:
      ::msgctl(host, IPC_RMID, nullptr);
      return;
  }
}

// The supervisor makes objects for whoever asks.
void give_to(SysvKind kind, int host, uid_t user, gid_t group) {
  if (user == ::geteuid() && group == ::getegid()) {
    return;
  }
  switch (kind) {
    case SysvKind::kShm: {
      shmid_ds info{};
      ::shmctl(host, IPC_STAT, &info);
      info.shm_perm.uid = user;
      info.shm_perm.gid = group;
      ::shmctl(host, IPC_SET, &info);
      return;
    }
    case SysvKind::kSem: {
      semid_ds info{};
      SemctlArgument argument{};
      argument.set = &info;
      ::semctl(host, 0, IPC_STAT, argument);
      info.sem_perm.uid = user;
      info.sem_perm.gid = group;
      ::semctl(host, 0, IPC_SET, argument);
      return;
    }
    case SysvKind::kMsg: {
      msqid_ds info{};
      ::msgctl(host, IPC_STAT, &info);
      info.msg_perm.uid = user;
      info.msg_perm.gid = group;
      ::msgctl(host, IPC_SET, &info);
      return;
    }
  }
}

// ipc/util.c ipcperms(), for one who has no privilege.
bool permitted(const ipc_perm& permissions, int flags, uid_t user, gid_t group) {
  const int wanted = (flags >> 6 | flags >> 3 | flags) & 7;
  const int mode = permissions.mode;
  const bool owner = user == permissions.uid || user == permissions.cuid;
  const bool member = group == permissions.gid || group == permissions.cgid;
  const int granted = owner ? mode >> 6 : member ? mode >> 3 : mode;
  return user == 0 || (wanted & ~granted) == 0;
}

}  // namespace

std::int64_t SysvSpace::get(SysvKind kind, key_t key, std::uint64_t amount, int flags, VirtualPid creator, uid_t user,
                            gid_t group) {
  const std::lock_guard lock(mutex_);
  Table& objects = table(kind);
  if (key != IPC_PRIVATE) {
    for (auto it = objects.objects.begin(); it != objects.objects.end();) {
      ipc_perm permissions{};
      std::uint64_t there = 0;
      if (it->second.key != key) {
        ++it;
        continue;
      }
      if (!look(kind, it->second.host, permissions, there)) {
        it = objects.objects.erase(it);
        continue;
      }
      if ((flags & IPC_CREAT) != 0 && (flags & IPC_EXCL) != 0) {
        return -EEXIST;
      }
      if (amount > there && kind != SysvKind::kMsg) {
        return -EINVAL;
      }
      return permitted(permissions, flags, user, group) ? it->second.id : -EACCES;
    }
    if ((flags & IPC_CREAT) == 0) {
      return -ENOENT;
    }
  }
  const int host = make(kind, amount, flags & ~IPC_EXCL);
  if (host < 0) {
    return -errno;
  }
  give_to(kind, host, user, group);
  while (objects.objects.contains(objects.next)) {
    objects.next = objects.next == INT_MAX ? 0 : objects.next + 1;
  }
  const int id = objects.next;
  objects.next = objects.next == INT_MAX ? 0 : objects.next + 1;
  objects.objects[id] = {id, host, key, creator};
  return id;
}

std::optional<SysvObject> SysvSpace::find(SysvKind kind, int id) const {
  const std::lock_guard lock(mutex_);
  const auto it = table(kind).objects.find(id);
  return it == table(kind).objects.end() ? std::nullopt : std::optional(it->second);
}

std::optional<SysvObject> SysvSpace::find_host(SysvKind kind, int host) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, object] : table(kind).objects) {
    if (object.host == host) {
      return object;
    }
  }
  return std::nullopt;
}

std::optional<SysvObject> SysvSpace::at(SysvKind kind, int index) const {
  const std::lock_guard lock(mutex_);
  const auto& objects = table(kind).objects;
  if (index < 0 || static_cast<std::size_t>(index) >= objects.size()) {
    return std::nullopt;
  }
  return std::next(objects.begin(), index)->second;
}

int SysvSpace::highest(SysvKind kind) const {
  const std::lock_guard lock(mutex_);
  const auto count = static_cast<int>(table(kind).objects.size());
  return std::max(count - 1, 0);
}

std::vector<SysvObject> SysvSpace::all(SysvKind kind) const {
  const std::lock_guard lock(mutex_);
  std::vector<SysvObject> list;
  for (const auto& [id, object] : table(kind).objects) {
    list.push_back(object);
  }
  return list;
}

void SysvSpace::removed(SysvKind kind, int id) {
  const std::lock_guard lock(mutex_);
  const auto it = table(kind).objects.find(id);
  if (it == table(kind).objects.end()) {
    return;
  }
  ipc_perm permissions{};
  std::uint64_t amount = 0;
  if (look(kind, it->second.host, permissions, amount)) {
    it->second.key = IPC_PRIVATE;
  } else {
    table(kind).objects.erase(it);
  }
}

void SysvSpace::adopt(SysvKind kind, const SysvObject& object) {
  const std::lock_guard lock(mutex_);
  table(kind).objects[object.id] = object;
}

int SysvSpace::next(SysvKind kind) const {
  const std::lock_guard lock(mutex_);
  return table(kind).next;
}

void SysvSpace::set_next(SysvKind kind, int next) {
  const std::lock_guard lock(mutex_);
  table(kind).next = std::max(next, 0);
}

void SysvSpace::undo(HostPid process, const std::vector<SemaphoreUndo>& more) {
  const std::lock_guard lock(mutex_);
  auto& list = undo_[process];
  for (const SemaphoreUndo& one : more) {
    const auto known = std::find_if(list.begin(), list.end(), [&](const SemaphoreUndo& other) {
      return other.id == one.id && other.number == one.number;
    });
    if (known == list.end()) {
      list.push_back(one);
    } else {
      known->adjustment += one.adjustment;
    }
  }
}

void SysvSpace::forget_undo(HostPid process) {
  const std::lock_guard lock(mutex_);
  undo_.erase(process);
}

void SysvSpace::clear_undo(int id, int number) {
  const std::lock_guard lock(mutex_);
  for (auto& [process, list] : undo_) {
    std::erase_if(list, [&](const SemaphoreUndo& one) { return one.id == id && (number < 0 || one.number == number); });
  }
}

std::vector<SemaphoreUndo> SysvSpace::undo_of(HostPid process) const {
  const std::lock_guard lock(mutex_);
  const auto it = undo_.find(process);
  return it == undo_.end() ? std::vector<SemaphoreUndo>() : it->second;
}

std::string sysv_listing(const SysvSpace& space, const std::string& host) {
  std::istringstream lines(host);
  std::string line;
  std::getline(lines, line);
  std::string text = line + "\n";
  const SysvKind kind = line.find("shmid") != std::string::npos   ? SysvKind::kShm
                        : line.find("semid") != std::string::npos ? SysvKind::kSem
                                                                  : SysvKind::kMsg;
  while (std::getline(lines, line)) {
    int id = -1;
    int end = 0;
    int before = 0;  // ... the creator, of shared memory only
    int after = 0;
    if (std::sscanf(line.c_str(), "%*d %d%n %*o %*u%n %*d%n", &id, &end, &before, &after) != 1) {
      continue;
    }
    const auto object = space.find_host(kind, id);
    if (!object) {
      continue;
    }
    char names[32];
    std::snprintf(names, sizeof names, "%10d %10d", object->key, object->id);  // as ipc/shm.c and its like have them
    if (kind == SysvKind::kShm && after > before) {
      char creator[16];
      std::snprintf(creator, sizeof creator, " %5d", object->creator.value());
      line.replace(static_cast<std::size_t>(before), static_cast<std::size_t>(after - before), creator);
    }
    text += names + line.substr(static_cast<std::size_t>(end)) + "\n";
  }
  return text;
}

void SysvSpace::remove_all() {
  for (const SysvKind kind : {SysvKind::kShm, SysvKind::kSem, SysvKind::kMsg}) {
    for (const SysvObject& object : all(kind)) {
      remove(kind, object.host);
    }
  }
}

}  // namespace beam::interpose
