// beam logs: what a detached sandbox printed.
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>

#include "runtime/client.h"
#include "runtime/file_io.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

// One log and how much of it has been printed. The descriptor stays good when the record is removed meanwhile.
struct Log {
  UniqueFd file;
  int to;
};

Result<> print_new(const Log& log) {
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(log.file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Error::from_errno("read a log");
    }
    if (got == 0) {
      return success();
    }
    BEAM_TRY(write_all(log.to, std::string_view(buffer.data(), static_cast<std::size_t>(got))));
  }
}

Result<> print_new(const std::array<Log, 2>& logs) {
  BEAM_TRY(print_new(logs[0]));
  return print_new(logs[1]);
}

// Until the supervisor says that the sandbox has ended, or has ended itself.
Result<> follow(const std::array<Log, 2>& logs, Channel channel, const RecordStore& store, const std::string& name) {
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!changes) {
    return Error::from_errno("watch the logs");
  }
  for (const char* leaf : {kStdoutLog, kStderrLog}) {
    if (::inotify_add_watch(changes.get(), store.file(name, leaf).c_str(), IN_MODIFY) < 0 && errno != ENOENT) {
      return Error::from_errno("watch the logs of " + name);
    }
  }
  BEAM_TRY(channel.send(WaitRequest{}));
  while (true) {
    BEAM_TRY(print_new(logs));
    std::array<struct pollfd, 3> entries = {
        {{changes.get(), POLLIN, 0}, {channel.fd(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
      return Error::from_errno("wait for the logs of " + name);
    }
    alignas(struct inotify_event) std::array<char, 4096> ignored;
    while (::read(changes.get(), ignored.data(), ignored.size()) > 0) {
    }
    if (entries[1].revents != 0) {
      return print_new(logs);
    }
    if ((entries[2].revents & (POLLERR | POLLHUP)) != 0) {
      // Whoever read this has gone, as the `head` of a pipeline does.
      return success();
    }
  }
}

}  // namespace

int verb_logs(const std::vector<std::string>& arguments) {
  VerbLine line("logs", "Prints what a detached sandbox wrote to stdout and stderr, each to the same stream.",
                "[OPTIONS] NAME", kExitUsage);
  bool following = false;
  std::string name;
  line.app().add_flag("-f,--follow", following, "Go on until the sandbox ends");
  line.app().add_option("NAME", name, "The sandbox")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto record = find_sandbox(*store, name);
  if (!record.ok()) {
    return fail_lookup(name, record.error());
  }
  if (!record->detached) {
    return fail(kExitFailed, name + ": has no log, its streams are its caller's; run it with -d to keep one");
  }
  std::array<Log, 2> logs = {
      {{UniqueFd(::open(store->file(record->name, kStdoutLog).c_str(), O_RDONLY | O_CLOEXEC)), 1},
       {UniqueFd(::open(store->file(record->name, kStderrLog).c_str(), O_RDONLY | O_CLOEXEC)), 2}}};
  if (!logs[0].file || !logs[1].file) {
    return fail(kExitFailed, Error::from_errno(name + ": its log cannot be read").message());
  }
  auto result = success();
  auto channel = following ? connect(*store, *record) : Result<Channel>(Error(ESRCH, name));
  result = channel.ok() ? follow(logs, std::move(channel).value(), *store, record->name) : print_new(logs);
  return result.ok() ? kExitDone : fail(kExitFailed, name + ": " + result.error().message());
}

}  // namespace beam::runtime
