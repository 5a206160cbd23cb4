// POSIX message queues (mq_overview(7)): attributes, and the messages with their priorities.
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <set>

#include "migrate/object_kind.h"
#include "migrate/remote.h"

namespace beam::migrate {

struct QueuedMessage {
  std::uint32_t priority = 0;
  std::vector<std::uint8_t> bytes;
};
BEAM_STATE(QueuedMessage, 1, priority, bytes)

// Who is to be told of a message in the empty queue.
struct NotifiedProcess {
  std::int32_t process = 0;
  std::int32_t fd = 0;      // of the queue, there
  std::int32_t notify = 0;  // SIGEV_*
  std::int32_t signal = 0;
  std::uint64_t value = 0;
  std::string cookie;
};
BEAM_STATE(NotifiedProcess, 1, process, fd, notify, signal, value, cookie)

// One description of a queue. The messages are with the one that was collected first.
struct MessageQueueState {
  std::uint64_t queue = 0;  // the same for all descriptions of one
  std::string path;         // its name, from a slash on
  bool removed = false;
  std::int32_t flags = 0;
  std::uint32_t mode = 0;
  std::int64_t most_messages = 0;
  std::int64_t message_size = 0;
  std::int64_t count = 0;
  std::vector<QueuedMessage> messages;
  std::optional<NotifiedProcess> notified;
};
BEAM_STATE_SINCE(MessageQueueState, notified, 2)
BEAM_STATE(MessageQueueState, 2, queue, path, removed, flags, mode, most_messages, message_size, count, messages,
           notified)

namespace {

constexpr unsigned long kMqueueMagic = 0x19800202;  // MQUEUE_MAGIC, ipc/mqueue.c
constexpr int kKept = O_ACCMODE | O_NONBLOCK;
constexpr std::string_view kDeleted = " (deleted)";
constexpr std::size_t kCookie = 32;   // NOTIFY_COOKIE_LEN, linux/mqueue.h
constexpr long kLargest = 16L << 20;  // HARD_MSGSIZEMAX

struct CollectedQueue {
  bool taken = false;
  std::set<pid_t> notified;
};
struct MadeQueue {
  UniqueFd fd;
};

std::string own_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

// Taken out and put back, which leaves the order as it was: that of priorities, and of time within one.
Result<std::vector<QueuedMessage>> read_messages(int queue, const mq_attr& attributes) {
  std::vector<QueuedMessage> messages;
  Result<> result = success();
  for (long i = 0; i < attributes.mq_curmsgs; ++i) {
    QueuedMessage message;
    message.bytes.resize(static_cast<std::size_t>(attributes.mq_msgsize));
    unsigned priority = 0;
    const ssize_t size =
        ::mq_receive(queue, reinterpret_cast<char*>(message.bytes.data()), message.bytes.size(), &priority);
    if (size < 0) {
      result = Error::from_errno("read a message queue");
      break;
    }
    message.priority = priority;
    message.bytes.resize(static_cast<std::size_t>(size));
    messages.push_back(std::move(message));
  }
  for (const QueuedMessage& message : messages) {
    if (::mq_send(queue, reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size(), message.priority) !=
        0) {
      return Error::from_errno("put messages back into their queue");
    }
  }
  if (!result.ok()) {
    return std::move(result).error();
  }
  return messages;
}

class MessageQueue : public KindOf<MessageQueueState> {
 public:
  std::string_view name() const override { return "message_queue"; }
  int order() const override { return 70; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    struct statfs system {};
    return (file.flags & O_PATH) == 0 && S_ISREG(file.info.st_mode) && ::fstatfs(file.copy.get(), &system) == 0 &&
           static_cast<unsigned long>(system.f_type) == kMqueueMagic;
  }

 protected:
  Result<MessageQueueState> collect_state(CollectContext& context, const OpenFile& file) const override {
    MessageQueueState state;
    state.queue = file.info.st_ino ^ (static_cast<std::uint64_t>(file.info.st_dev) << 40U);
    state.path = file.link;
    state.removed = file.info.st_nlink == 0;
    if (state.removed && state.path.ends_with(kDeleted)) {
      state.path.resize(state.path.size() - kDeleted.size());
    }
    state.flags = file.flags & kKept;
    state.mode = file.info.st_mode & 07777;
    mq_attr attributes{};
    if (::mq_getattr(file.copy.get(), &attributes) != 0) {
      return Error::from_errno("read the attributes of a message queue");
    }
    state.most_messages = attributes.mq_maxmsg;
    state.message_size = attributes.mq_msgsize;
    state.count = attributes.mq_curmsgs;
    const UniqueFd queue(::open(own_path(file.copy.get()).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!queue) {
      return errno == EACCES ? Error(kObstacle, "a message queue that its own owner may not read and write")
                             : Error::from_errno("open a message queue");
    }
    // QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260
    char text[256] = {};
    if (::pread(queue.get(), text, sizeof text - 1, 0) > 0) {
      const std::string_view view(text);
      const auto at = view.find("NOTIFY_PID:");
      const pid_t owner = at != std::string_view::npos ? std::atoi(text + at + 11) : 0;
      if (owner != 0 && context.parts.get<CollectedQueue>(name(), state.queue).notified.insert(owner).second) {
        BEAM_TRY_ASSIGN(state.notified, notified(context, file, HostPid(owner)));
        if (attributes.mq_curmsgs != 0) {
          // They would have to be taken out, and the first that is put back would be told of.
          return Error(kObstacle, "a message queue with messages, of which mq_notify is to tell the next first one");
        }
      }
    }
    auto& collected = context.parts.get<CollectedQueue>(name(), state.queue);
    if (context.contents() && !collected.taken) {
      collected.taken = true;
      BEAM_TRY_ASSIGN(state.messages, read_messages(queue.get(), attributes));
    }
    return state;
  }

  Result<UniqueFd> make_from(MakeContext& context, const MessageQueueState& state) const override {
    if (state.message_size <= 0 || state.message_size > kLargest || state.most_messages <= 0 ||
        !state.path.starts_with('/')) {
      return Error(kDamaged, "a message queue has impossible attributes");
    }
    auto& made = context.parts.get<MadeQueue>(name(), state.queue);
    if (!made.fd) {
      BEAM_TRY_ASSIGN(made.fd, open_queue(context, state));
    }
    UniqueFd fd(::open(own_path(made.fd.get()).c_str(), (state.flags & kKept) | O_CLOEXEC));
    if (!fd) {
      return Error::from_errno("open the message queue " + state.path);
    }
    return fd;
  }

  // In the name of the process that asked, as closing a descriptor of the queue would end it (ipc/mqueue.c).
  Result<> link_from(LinkContext& context, const MessageQueueState& state, int /*fd*/) const override {
    if (!state.notified) {
      return success();
    }
    const NotifiedProcess& notified = *state.notified;
    interpose::Task* task = context.task(VirtualPid(notified.process));
    if (task == nullptr) {
      return Error(kDamaged, "mq_notify is to tell a process that is not there");
    }
    Remote remote(*task);
    constexpr std::size_t kRoom = 4096;
    BEAM_TRY(remote.map_scratch(kRoom));
    sigevent event{};
    event.sigev_notify = notified.notify;
    event.sigev_signo = notified.signal;
    event.sigev_value.sival_ptr = reinterpret_cast<void*>(notified.value);
    if (notified.notify == SIGEV_THREAD) {
      BEAM_TRY_ASSIGN(const std::uint64_t cookie,
                      remote.put_bytes(notified.cookie.data(), notified.cookie.size(), sizeof event));
      event.sigev_value.sival_ptr = reinterpret_cast<void*>(cookie);
    }
    BEAM_TRY_ASSIGN(const std::uint64_t at, remote.put(event));
    BEAM_TRY(
        remote.call("have mq_notify tell of a message", SYS_mq_notify, static_cast<std::uint64_t>(notified.fd), at));
    BEAM_TRY(remote.unmap_scratch());
    const std::string path = "/proc/" + std::to_string(task->tid.value()) + "/fd/" + std::to_string(notified.fd);
    struct stat queue {};
    if (::stat(path.c_str(), &queue) == 0) {
      context.shared.mq_notices.note(task->process->host, queue,
                                     {notified.fd, notified.notify, notified.signal, notified.value, notified.cookie});
    }
    return success();
  }
  Result<> check_state(const ImageFacts& /*facts*/, const MessageQueueState& state) const override {
    return !state.notified || state.notified->cookie.size() == (state.notified->notify == SIGEV_THREAD ? kCookie : 0)
               ? success()
               : Result<>(Error(kDamaged, "what mq_notify is to tell has an impossible size"));
  }

 private:
  static Result<NotifiedProcess> notified(const CollectContext& context, const OpenFile& file, HostPid owner) {
    const auto notice = context.shared.mq_notices.find(owner, file.info);
    const auto process = context.shared.tasks.process(owner);
    if (!notice || process == nullptr) {
      return Error(kObstacle, "a message queue of which mq_notify is to tell a process outside the sandbox");
    }
    return NotifiedProcess{process->vpid.value(), notice->fd,    notice->notify,
                           notice->signal,        notice->value, notice->cookie};
  }

  static Result<UniqueFd> open_queue(const MakeContext& context, const MessageQueueState& state) {
    std::string path = state.path;
    mq_attr attributes{};
    if (!state.removed) {
      // It outlives its processes, as a file does.
      UniqueFd there(::mq_open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
      if (there) {
        if (::mq_getattr(there.get(), &attributes) != 0) {
          return Error::from_errno("read the attributes of the message queue " + path);
        }
        if (!context.force && (attributes.mq_curmsgs != state.count || attributes.mq_msgsize != state.message_size)) {
          return Error(ESTALE, "the message queue " + path + " has changed since the freeze")
              .remedy("thaw with --force to go on with it as it is");
        }
        return there;
      }
      if (errno != ENOENT) {
        return Error::from_errno("open the message queue " + path);
      }
    } else {
      path = "/beam-" + std::to_string(::getpid()) + "-" + std::to_string(state.queue);
    }
    attributes.mq_maxmsg = state.most_messages;
    attributes.mq_msgsize = state.message_size;
    UniqueFd fd(::mq_open(path.c_str(), O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes));
    if (!fd) {
      return Error::from_errno("make the message queue " + path)
          .remedy("see fs.mqueue.msg_max and the limit of queues (ulimit -q)");
    }
    Result<> filled = success();
    for (const QueuedMessage& message : state.messages) {
      if (::mq_send(fd.get(), reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size(),
                    message.priority) != 0) {
        filled = Error::from_errno("fill the message queue " + path);
        break;
      }
    }
    ::fchmod(fd.get(), static_cast<mode_t>(state.mode));
    if (state.removed || !filled.ok()) {
      ::mq_unlink(path.c_str());
    }
    BEAM_TRY(std::move(filled));
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<MessageQueue>()};

}  // namespace
}  // namespace beam::migrate
