// System V IPC: objects under the ids that the sandbox has for them, attached where they were.
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

using interpose::SysvKind;

constexpr std::uint64_t kPage = 4096;

union SemctlArgument {  // semctl(2): the caller defines it
  int value;
  semid_ds* set;
  unsigned short* array;
};

bool ours(const SysvIdentity& identity) {
  return identity.user == ::geteuid() && identity.group == ::getegid();
}

}  // namespace

Result<> Restorer::make_sysv() {
  interpose::SysvSpace& space = tracer_.shared().sysv;
  const auto adopt = [&](SysvKind kind, const SysvIdentity& identity, int host) -> Result<> {
    if (host < 0) {
      return Error::from_errno("make System V object " + std::to_string(identity.id));
    }
    space.adopt(kind, {identity.id, host, identity.key, VirtualPid(identity.creator)});
    return success();
  };
  for (const SysvSharedMemory& state : state_.sysv.memory) {
    const SysvIdentity& identity = state.identity;
    const int host =
        ::shmget(IPC_PRIVATE, std::max<std::uint64_t>(state.size, 1), IPC_CREAT | static_cast<int>(identity.mode));
    BEAM_TRY(adopt(SysvKind::kShm, identity, host));
    BEAM_TRY(fill_sysv_memory(host, state));
    if (!ours(identity) && state.size != 0) {
      shmid_ds info{};
      ::shmctl(host, IPC_STAT, &info);
      info.shm_perm.uid = identity.user;
      info.shm_perm.gid = identity.group;
      ::shmctl(host, IPC_SET, &info);
    }
    sysv_memory_.push_back(host);
  }
  for (const SysvSemaphores& state : state_.sysv.semaphores) {
    const SysvIdentity& identity = state.identity;
    const int host =
        ::semget(IPC_PRIVATE, static_cast<int>(state.values.size()), IPC_CREAT | static_cast<int>(identity.mode));
    BEAM_TRY(adopt(SysvKind::kSem, identity, host));
    // What the processes will take from them as that which they give back at their end comes on top.
    std::vector<std::uint16_t> values = state.values;
    for (const ProcessState& process : state_.processes) {
      for (const UndoneSemaphore& undo : process.undo) {
        if (undo.id == identity.id && undo.adjustment > 0 && static_cast<std::size_t>(undo.number) < values.size()) {
          values[static_cast<std::size_t>(undo.number)] =
              static_cast<std::uint16_t>(values[static_cast<std::size_t>(undo.number)] + undo.adjustment);
        }
      }
    }
    SemctlArgument argument{};
    argument.array = values.data();
    if (::semctl(host, 0, SETALL, argument) != 0) {
      return Error::from_errno("set System V semaphores " + std::to_string(identity.id));
    }
    if (!ours(identity)) {
      semid_ds info{};
      argument.set = &info;
      ::semctl(host, 0, IPC_STAT, argument);
      info.sem_perm.uid = identity.user;
      info.sem_perm.gid = identity.group;
      ::semctl(host, 0, IPC_SET, argument);
    }
  }
  for (const SysvQueue& state : state_.sysv.queues) {
    const SysvIdentity& identity = state.identity;
    const int host = ::msgget(IPC_PRIVATE, IPC_CREAT | static_cast<int>(identity.mode));
    BEAM_TRY(adopt(SysvKind::kMsg, identity, host));
    msqid_ds info{};
    ::msgctl(host, IPC_STAT, &info);
    if (info.msg_qbytes != state.most_bytes || !ours(identity)) {
      info.msg_qbytes = state.most_bytes;
      info.msg_perm.uid = identity.user;
      info.msg_perm.gid = identity.group;
      if (::msgctl(host, IPC_SET, &info) != 0) {
        return Error::from_errno("set System V message queue " + std::to_string(identity.id))
            .remedy("see kernel.msgmnb");
      }
    }
    for (const SysvMessage& message : state.messages) {
      std::vector<char> bytes(sizeof(long) + message.bytes.size());
      const long type = message.type;
      std::memcpy(bytes.data(), &type, sizeof type);
      std::memcpy(bytes.data() + sizeof type, message.bytes.data(), message.bytes.size());
      if (::msgsnd(host, bytes.data(), message.bytes.size(), IPC_NOWAIT) != 0) {
        return Error::from_errno("fill System V message queue " + std::to_string(identity.id));
      }
    }
  }
  const SysvKind kinds[] = {SysvKind::kShm, SysvKind::kSem, SysvKind::kMsg};
  for (std::size_t i = 0; i < state_.sysv.next.size() && i < 3; ++i) {
    space.set_next(kinds[i], state_.sysv.next[i]);
  }
  return success();
}

Result<> Restorer::fill_sysv_memory(int host, const SysvSharedMemory& state) {
  if (state.pages.empty()) {
    return success();
  }
  const std::string what = "fill System V shared memory " + std::to_string(state.identity.id);
  BEAM_TRY_ASSIGN(const UniqueFd pages, image_.file(state.page_file));
  void* at = ::shmat(host, nullptr, 0);
  if (at == reinterpret_cast<void*>(-1)) {  // NOLINT: how shmat(2) fails
    return Error::from_errno(what);
  }
  Result<> result = success();
  for (const PageRun& run : state.pages) {
    for (std::uint64_t done = 0; done < run.size && result.ok();) {
      const ssize_t got = ::pread(pages.get(), static_cast<char*>(at) + run.address + done, run.size - done,
                                  static_cast<off_t>(run.offset + done));
      if (got <= 0) {
        result = Error(got < 0 ? errno : kDamaged, what);
      }
      done += got > 0 ? static_cast<std::uint64_t>(got) : 0;
    }
  }
  ::shmdt(at);
  return result;
}

// An attachment is the whole of an object (shmat(2)), of which parts may have been unmapped or protected otherwise
// since.
Result<> Restorer::attach_sysv(Remote& remote, const AddressSpaceState& space) {
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::vector<const Mapping*>> attachments;  // by place and object
  for (const Mapping& mapping : space.mappings) {
    if (mapping.backing == Backing::kSysv) {
      attachments[{mapping.start - mapping.offset, mapping.file}].push_back(&mapping);
    }
  }
  for (const auto& [where, mappings] : attachments) {
    const auto& [place, object] = where;
    const bool writable =
        std::any_of(mappings.begin(), mappings.end(), [](const Mapping* one) { return one->may_write; });
    const bool executable = std::any_of(mappings.begin(), mappings.end(),
                                        [](const Mapping* one) { return (one->protection & PROT_EXEC) != 0; });
    const int flags = (writable ? 0 : SHM_RDONLY) | (executable ? SHM_EXEC : 0);
    BEAM_TRY(remote.call("attach System V shared memory", SYS_shmat,
                         static_cast<std::uint64_t>(sysv_memory_.at(object)), place,
                         static_cast<std::uint64_t>(flags)));
    const std::uint64_t end = place + (state_.sysv.memory[object].size + kPage - 1) / kPage * kPage;
    std::uint64_t at = place;
    const auto unmap_to = [&](std::uint64_t next) -> Result<> {
      if (at < next) {
        BEAM_TRY(remote.call("unmap memory", SYS_munmap, at, next - at));
      }
      return success();
    };
    for (const Mapping* mapping : mappings) {
      BEAM_TRY(unmap_to(mapping->start));
      BEAM_TRY(remote.call("protect memory", SYS_mprotect, mapping->start, mapping->end - mapping->start,
                           mapping->protection));
      at = mapping->end;
    }
    BEAM_TRY(unmap_to(end));
  }
  return success();
}

Result<> Restorer::take_semaphores(Remote& remote, const ProcessState& process) {
  interpose::SysvSpace& space = tracer_.shared().sysv;
  Batch batch(remote);
  std::vector<interpose::SemaphoreUndo> undone;
  for (const UndoneSemaphore& undo : process.undo) {
    const auto object = space.find(SysvKind::kSem, undo.id);
    if (!object || undo.adjustment == 0) {
      continue;
    }
    const sembuf operation{static_cast<unsigned short>(undo.number), static_cast<short>(-undo.adjustment),
                           SEM_UNDO | IPC_NOWAIT};
    batch.add("take from a System V semaphore", SYS_semop, static_cast<std::uint64_t>(object->host),
              batch.put(operation), 1);
    undone.push_back({undo.id, undo.number, undo.adjustment});
  }
  BEAM_TRY(batch.run());
  if (!undone.empty()) {
    space.undo(leaders_.at(process.vpid)->process->host, undone);
  }
  return success();
}

// With all processes in their places: what is too much of semaphores, and objects that only their attachments keep.
Result<> Restorer::settle_sysv() {
  interpose::SysvSpace& space = tracer_.shared().sysv;
  for (const ProcessState& process : state_.processes) {
    for (const UndoneSemaphore& undo : process.undo) {
      const auto object = space.find(SysvKind::kSem, undo.id);
      if (object && undo.adjustment < 0) {
        sembuf operation{static_cast<unsigned short>(undo.number), static_cast<short>(undo.adjustment), IPC_NOWAIT};
        if (::semop(object->host, &operation, 1) != 0) {
          return Error::from_errno("settle System V semaphores " + std::to_string(undo.id));
        }
      }
    }
  }
  for (std::size_t i = 0; i < state_.sysv.memory.size(); ++i) {
    if (state_.sysv.memory[i].removed) {
      ::shmctl(sysv_memory_[i], IPC_RMID, nullptr);
      space.removed(SysvKind::kShm, state_.sysv.memory[i].identity.id);
    }
  }
  return success();
}

}  // namespace beam::migrate
