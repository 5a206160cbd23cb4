// System V IPC: what the sandbox has made of it, with contents.
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <algorithm>
#include <cstring>

#include "migrate/collector.h"

namespace beam::migrate {
namespace {

using interpose::SysvKind;
using interpose::SysvObject;

constexpr std::uint64_t kPage = 4096;
constexpr int kModeBits = 0777;

union SemctlArgument {  // semctl(2): the caller defines it
  int value;
  semid_ds* set;
  unsigned short* array;
};

SysvIdentity identity_of(const SysvObject& object, const ipc_perm& permissions) {
  return {object.id,       object.key,     object.creator.value(), permissions.mode & static_cast<unsigned>(kModeBits),
          permissions.uid, permissions.gid};
}

// A message is read and left where it is with MSG_COPY (msgrcv(2)).
Result<std::vector<SysvMessage>> messages_of(int host, std::size_t count) {
  std::vector<SysvMessage> messages;
  std::vector<char> buffer(64 << 10);
  for (std::size_t i = 0; i < count; ++i) {
    ssize_t got = 0;
    while ((got = ::msgrcv(host, buffer.data(), buffer.size() - sizeof(long), static_cast<long>(i),
                           MSG_COPY | IPC_NOWAIT)) < 0 &&
           errno == E2BIG) {
      buffer.resize(buffer.size() * 2);
    }
    if (got < 0) {
      return Error::from_errno("read a System V message queue")
          .remedy("it takes a kernel with CONFIG_CHECKPOINT_RESTORE");
    }
    SysvMessage message;
    long type = 0;
    std::memcpy(&type, buffer.data(), sizeof type);
    message.type = type;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(buffer.data()) + sizeof type;
    message.bytes.assign(bytes, bytes + got);
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace

Result<> Collector::sysv() {
  interpose::SysvSpace& space = sandbox_.shared().sysv;
  for (const SysvObject& object : space.all(SysvKind::kShm)) {
    shmid_ds info{};
    SysvSharedMemory state;
    if (::shmctl(object.host, IPC_STAT, &info) == 0) {
      state.identity = identity_of(object, info.shm_perm);
      state.size = info.shm_segsz;
      state.removed = (info.shm_perm.mode & SHM_DEST) != 0;
      BEAM_TRY(sysv_memory_contents(object, state));
    } else {
      state.identity.id = object.id;  // gone with its last attachment
      state.removed = true;
    }
    state_.sysv.memory.push_back(std::move(state));
  }
  for (const SysvObject& object : space.all(SysvKind::kSem)) {
    semid_ds info{};
    SemctlArgument argument{};
    argument.set = &info;
    if (::semctl(object.host, 0, IPC_STAT, argument) != 0) {
      continue;
    }
    SysvSemaphores state;
    state.identity = identity_of(object, info.sem_perm);
    state.values.resize(info.sem_nsems);
    argument.array = state.values.data();
    if (::semctl(object.host, 0, GETALL, argument) != 0) {
      return Error::from_errno("read System V semaphores " + std::to_string(object.id));
    }
    state_.sysv.semaphores.push_back(std::move(state));
  }
  for (const SysvObject& object : space.all(SysvKind::kMsg)) {
    msqid_ds info{};
    if (::msgctl(object.host, IPC_STAT, &info) != 0) {
      continue;
    }
    SysvQueue state;
    state.identity = identity_of(object, info.msg_perm);
    state.most_bytes = info.msg_qbytes;
    BEAM_TRY_ASSIGN(state.messages, messages_of(object.host, info.msg_qnum));
    state_.sysv.queues.push_back(std::move(state));
  }
  state_.sysv.next = {space.next(SysvKind::kShm), space.next(SysvKind::kSem), space.next(SysvKind::kMsg)};
  return success();
}

Result<> Collector::sysv_memory_contents(const SysvObject& object, SysvSharedMemory& state) {
  if (image_ == nullptr || state.size == 0) {
    return success();
  }
  const std::string what = "read System V shared memory " + std::to_string(object.id);
  void* at = ::shmat(object.host, nullptr, SHM_RDONLY);
  if (at == reinterpret_cast<void*>(-1)) {  // NOLINT: how shmat(2) fails
    return Error::from_errno(what);
  }
  const auto write = [&]() -> Result<> {
    const std::uint64_t pages = (state.size + kPage - 1) / kPage;
    std::vector<unsigned char> resident(pages);
    if (::mincore(at, pages * kPage, resident.data()) != 0) {
      return Error::from_errno(what);
    }
    state.page_file = "sysv-" + std::to_string(state_.sysv.memory.size() + 1);
    BEAM_TRY_ASSIGN(auto out, image_->file(state.page_file));
    for (std::uint64_t page = 0; page < pages; ++page) {
      const char* bytes = static_cast<const char*>(at) + page * kPage;
      if ((resident[page] & 1U) == 0) {
        // Swapped out, or never there; a page that was never there reads as zeros.
        static constexpr std::array<char, kPage> kZeros{};
        if (std::memcmp(bytes, kZeros.data(), kPage) == 0) {
          continue;
        }
      }
      if (!state.pages.empty() && state.pages.back().address + state.pages.back().size == page * kPage) {
        state.pages.back().size += kPage;
      } else {
        state.pages.push_back({page * kPage, kPage, out.size()});
      }
      BEAM_TRY(out.append(bytes, kPage));
    }
    return image_->add(std::move(out));
  };
  auto written = write();
  ::shmdt(at);
  return written;
}

}  // namespace beam::migrate
