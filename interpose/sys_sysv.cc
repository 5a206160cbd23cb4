// System V IPC (sysvipc(7)): keys and ids are the sandbox's (sysv_space.h), and so are the processes that structures
// name.
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/sysv_space.h"

namespace beam::interpose {
namespace {

Answer get(const AnswerCall& call, SysvKind kind, int key, std::uint64_t amount, int flags) {
  uid_t user = ::geteuid();
  if (call.caller.process->credentials_changed) {
    if (const auto ids = read_proc_credentials(call.caller.tid)) {
      user = ids->effective;
    }
  }
  return Answer::result(call.shared.sysv.get(kind, key, amount, flags, call.caller.process->vpid, user, ::getegid()));
}

BEAM_SYSCALL(shmget, Strategy::kAnswer, int key, std::uint64_t size, int flags) {
  return get(call, SysvKind::kShm, key, size, flags);
}
BEAM_SYSCALL(semget, Strategy::kAnswer, int key, int count, int flags) {
  return count < 0 ? Answer::error(EINVAL) : get(call, SysvKind::kSem, key, static_cast<std::uint64_t>(count), flags);
}
BEAM_SYSCALL(msgget, Strategy::kAnswer, int key, int flags) {
  return get(call, SysvKind::kMsg, key, 0, flags);
}

struct IdCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// The call with the workstation's id as argument 0.
template <typename Call = IdCall>
Rewrite with_id(RewriteCall& call, SysvKind kind, int id, std::unique_ptr<Call> progress = std::make_unique<Call>()) {
  const auto object = call.shared().sysv.find(kind, id);
  if (!object) {
    return Rewrite::error(EINVAL);
  }
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(object->host));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(shmat, Strategy::kRewrite, int id, RemotePtr<void>, int) {
  return with_id(call, SysvKind::kShm, id);
}
BEAM_SYSCALL(msgsnd, Strategy::kRewrite, int id, RemotePtr<void>, std::uint64_t, int) {
  return with_id(call, SysvKind::kMsg, id);
}
BEAM_SYSCALL(msgrcv, Strategy::kRewrite, int id, RemotePtr<void>, std::uint64_t, std::int64_t, int) {
  return with_id(call, SysvKind::kMsg, id);
}

// --- semop ---

struct Semop : CallInProgress {
  std::vector<SemaphoreUndo> undo;
  void at_exit(ExitCall& call) override {
    if (call.result() == 0 && !undo.empty()) {
      call.shared().sysv.undo(call.task().process->host, undo);
    }
  }
};

Rewrite semop(RewriteCall& call, int id, std::uint64_t operations, std::uint64_t count) {
  constexpr std::uint64_t kMost = 32000;  // SEMOPM can be raised as far
  auto progress = std::make_unique<Semop>();
  std::vector<sembuf> list(count <= kMost ? count : 0);
  if (!list.empty() && call.memory().read(operations, list.data(), list.size() * sizeof list[0]) == 0) {
    for (const sembuf& operation : list) {
      if ((operation.sem_flg & SEM_UNDO) != 0 && operation.sem_op != 0) {
        progress->undo.push_back({id, operation.sem_num, -operation.sem_op});
      }
    }
  }
  return with_id(call, SysvKind::kSem, id, std::move(progress));
}

BEAM_SYSCALL(semop, Strategy::kRewrite, int id, RemotePtr<sembuf> operations, std::uint64_t count) {
  return semop(call, id, operations.address(), count);
}
BEAM_SYSCALL(semtimedop, Strategy::kRewrite, int id, RemotePtr<sembuf> operations, std::uint64_t count,
             RemotePtr<void>) {
  return semop(call, id, operations.address(), count);
}

// --- control ---

// A structure that the call has filled: key and pids as the sandbox has them.
struct Control : CallInProgress {
  SysvKind kind = SysvKind::kShm;
  std::optional<SysvObject> object;
  std::uint64_t structure = 0;         // 0: the call fills none
  std::vector<std::size_t> pids;       // where in it
  std::optional<std::size_t> creator;  // where in it
  bool gives_id = false;               // the result is the object's id
  bool removes = false;
  int clears_undo = -2;  // -1: of the whole set; else of this semaphore
  bool gives_pid = false;

  void at_exit(ExitCall& call) override {
    if (call.result() < 0) {
      return;
    }
    SysvSpace& space = call.shared().sysv;
    if (structure != 0) {
      static_assert(offsetof(shmid_ds, shm_perm) == 0 && offsetof(semid_ds, sem_perm) == 0 &&
                    offsetof(msqid_ds, msg_perm) == 0);
      (void)call.memory().write(structure + offsetof(ipc_perm, __key), &object->key, sizeof object->key);
      for (const std::size_t offset : pids) {
        pid_t host = 0;
        if (call.memory().read(structure + offset, &host, sizeof host) == 0 && host > 0) {
          const pid_t shown = call.shared().pids.to_virtual(HostPid(host)).value();
          (void)call.memory().write(structure + offset, &shown, sizeof shown);
        }
      }
      if (creator) {
        const pid_t shown = object->creator.value();
        (void)call.memory().write(structure + *creator, &shown, sizeof shown);
      }
    }
    if (removes) {
      space.removed(kind, object->id);
      if (kind == SysvKind::kSem) {
        space.clear_undo(object->id, -1);
      }
    }
    if (clears_undo >= -1) {
      space.clear_undo(object->id, clears_undo);
    }
    if (gives_pid && call.result() > 0) {
      call.set_result(call.shared().pids.to_virtual(HostPid(static_cast<pid_t>(call.result()))).value());
    }
    if (gives_id) {
      call.set_result(object->id);
    }
  }
};

// IPC_INFO and its like: how much there is of a kind.
struct Totals : CallInProgress {
  SysvKind kind = SysvKind::kShm;
  std::uint64_t used_at = 0;  // an int: the number of objects; 0: the call does not tell
  void at_exit(ExitCall& call) override {
    if (call.result() < 0) {
      return;
    }
    const SysvSpace& space = call.shared().sysv;
    if (used_at != 0) {
      const int used = static_cast<int>(space.all(kind).size());
      (void)call.memory().write(used_at, &used, sizeof used);
    }
    call.set_result(space.highest(kind));
  }
};

struct ControlCall {
  SysvKind kind;
  int id;
  int command;
  std::uint64_t buffer;
  int stat;           // SHM_STAT
  int stat_any;       // SHM_STAT_ANY
  int info;           // SHM_INFO
  std::size_t used;   // the offset of the number of objects in what it fills
  std::size_t index;  // of the argument that is the command
};

Rewrite control(RewriteCall& call, const ControlCall& request, std::unique_ptr<Control> progress) {
  SysvSpace& space = call.shared().sysv;
  if (request.command == IPC_INFO || request.command == request.info) {
    auto totals = std::make_unique<Totals>();
    totals->kind = request.kind;
    totals->used_at = request.command == request.info ? request.buffer + request.used : 0;
    return Rewrite::until_exit(std::move(totals));
  }
  progress->kind = request.kind;
  const bool by_index = request.command == request.stat || request.command == request.stat_any;
  progress->object = by_index ? space.at(request.kind, request.id) : space.find(request.kind, request.id);
  if (!progress->object) {
    return Rewrite::error(EINVAL);
  }
  if (by_index) {
    progress->gives_id = true;
    call.set_arg(*progress, request.index, IPC_STAT);
  }
  progress->structure = by_index || request.command == IPC_STAT ? request.buffer : 0;
  progress->removes = request.command == IPC_RMID;
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(progress->object->host));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(shmctl, Strategy::kRewrite, int id, int command, RemotePtr<shmid_ds> buffer) {
  auto progress = std::make_unique<Control>();
  progress->pids = {offsetof(shmid_ds, shm_lpid)};
  progress->creator = offsetof(shmid_ds, shm_cpid);
  return control(call,
                 {SysvKind::kShm, id, command, buffer.address(), SHM_STAT, SHM_STAT_ANY, SHM_INFO,
                  offsetof(shm_info, used_ids), 1},
                 std::move(progress));
}

BEAM_SYSCALL(msgctl, Strategy::kRewrite, int id, int command, RemotePtr<msqid_ds> buffer) {
  auto progress = std::make_unique<Control>();
  progress->pids = {offsetof(msqid_ds, msg_lspid), offsetof(msqid_ds, msg_lrpid)};
  return control(
      call,
      {SysvKind::kMsg, id, command, buffer.address(), MSG_STAT, MSG_STAT_ANY, MSG_INFO, offsetof(msginfo, msgpool), 1},
      std::move(progress));
}

BEAM_SYSCALL(semctl, Strategy::kRewrite, int id, int number, int command, std::uint64_t argument) {
  auto progress = std::make_unique<Control>();
  progress->gives_pid = command == GETPID;
  progress->clears_undo = command == SETVAL ? number : command == SETALL ? -1 : -2;
  return control(
      call, {SysvKind::kSem, id, command, argument, SEM_STAT, SEM_STAT_ANY, SEM_INFO, offsetof(seminfo, semusz), 2},
      std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
