#include "interpose/listener.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "interpose/call.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "interpose/view_call.h"

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

namespace beam::interpose {
namespace {

constexpr int kThreadsAListener = 2;
constexpr std::int64_t kRestartNoInterrupt = -513;  // ERESTARTNOINTR, include/linux/errno.h

void respond(int listener, std::uint64_t id, std::int64_t value, std::uint32_t flags) {
  seccomp_notif_resp response{};
  response.id = id;
  response.flags = flags;
  if (value < 0 && value >= -4095) {
    response.error = static_cast<std::int32_t>(value);
  } else {
    response.val = value;
  }
  // ENOENT: the caller was killed meanwhile.
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0 && errno != ENOENT) {
    BEAM_LOG_ERROR(kInterpose, "answer to a system call: {}", std::strerror(errno));
  }
}

}  // namespace

struct ListenerPool::Listener {
  UniqueFd fd;
  std::vector<std::thread> threads;
};

ListenerPool::ListenerPool(Shared& shared) : shared_(shared) {}

ListenerPool::~ListenerPool() {
  for (auto& listener : listeners_) {
    for (auto& thread : listener->threads) {
      thread.join();
    }
  }
}

std::size_t ListenerPool::size() const {
  const std::lock_guard lock(mutex_);
  return listeners_.size();
}

void ListenerPool::add(UniqueFd fd) {
  // The answerer and the caller run in turns, so waking it on the same processor saves most of the switch (kernel 6.6).
  ::ioctl(fd.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  auto listener = std::make_unique<Listener>();
  listener->fd = std::move(fd);
  Listener& entry = *listener;
  {
    const std::lock_guard lock(mutex_);
    listeners_.push_back(std::move(listener));
  }
  for (int i = 0; i < kThreadsAListener; ++i) {
    entry.threads.emplace_back([this, &entry] { serve(entry); });
  }
}

void ListenerPool::serve(Listener& listener) {
  const int fd = listener.fd.get();
  if (shared_.view != nullptr) {
    prepare_to_act();
  }
  const SyscallTable& table = SyscallTable::instance();
  seccomp_notif notification{};
  for (;;) {
    std::memset(&notification, 0, sizeof notification);
    if (::ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) {
      if (errno == EINTR) {
        continue;
      }
      // ENOENT: the caller died before it was read, or nobody is left who could call.
      pollfd poll{fd, POLLIN, 0};
      if (::poll(&poll, 1, 0) > 0 && (poll.revents & POLLHUP) != 0) {
        return;
      }
      continue;
    }
    const auto tid = HostPid(static_cast<pid_t>(notification.pid));
    const auto caller = shared_.tasks.caller(tid);
    const SyscallDeclaration* call = table.find(notification.data.nr);
    if (!caller) {
      // The first process before its exec, which is Beam's own code still.
      respond(fd, notification.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
      continue;
    }
    if (caller->escalated == notification.data.nr) {
      Task* task = nullptr;
      {
        const std::shared_lock lock(shared_.tasks.mutex());
        task = shared_.tasks.find(tid);
        if (task != nullptr) {
          task->escalated.store(-1, std::memory_order_release);
        }
      }
      respond(fd, notification.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
      continue;
    }
    RawArgs args;
    std::memcpy(args.data(), notification.data.args, sizeof notification.data.args);
    AnswerCall context{shared_, *caller, fd, notification.id};
    const auto traced = shared_.trace.begin(*call, caller->vtid, context.memory(), args);
    Answer answer = call->answer(context, args);
    std::int64_t result = answer.value();
    const bool to_pass = answer.kind() == Answer::Kind::kPass && traced != nullptr && !caller->process->revealing;
    switch (to_pass ? Answer::Kind::kEscalate : answer.kind()) {
      case Answer::Kind::kResult:
        if (traced != nullptr) {
          shared_.trace.end(*traced, context.memory(), result);
        }
        respond(fd, notification.id, result, 0);
        break;
      case Answer::Kind::kPass:
        respond(fd, notification.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
        break;
      case Answer::Kind::kEscalate:
        shared_.tracer->post([tid, fd, number = call->number, id = notification.id,
                              to_pass](Tracer& tracer) { tracer.escalate(tid, number, fd, id, to_pass); },
                             Tracer::When::kAlways);
        break;
      case Answer::Kind::kDescriptor: {
        seccomp_notif_addfd add{};
        add.id = notification.id;
        // Not FLAG_SEND: the caller could use its descriptor, close it and find the file still open, here (ETXTBSY,
        // flock(2), the end of a pipe).
        add.srcfd = static_cast<std::uint32_t>(answer.fd());
        add.newfd_flags = answer.close_on_exec() ? O_CLOEXEC : 0;
        result = ::ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
        // Most often EMFILE: the caller's own limit.
        result = result < 0 ? -errno : result;
        answer = Answer::result(result);
        respond(fd, notification.id, result, 0);
        if (traced != nullptr) {
          shared_.trace.end(*traced, context.memory(), result);
        }
        break;
      }
    }
  }
}

bool AnswerCall::still_waits() const {
  return listener < 0 || ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &notification) == 0;
}

void Tracer::escalate(HostPid tid, long number, int listener, std::uint64_t notification, bool to_pass) {
  Task* task = shared_.tasks.find(tid);
  if (task != nullptr) {
    // Ordered: the stop request first, so that the restart of the call finds it; then the answer that causes the
    // restart.
    task->escalated_to_pass = to_pass;
    task->escalated.store(number, std::memory_order_release);
    const StoppedTracee tracee(tid);
    tracee.request_stop();
  }
  respond(listener, notification, kRestartNoInterrupt, 0);
}

}  // namespace beam::interpose
