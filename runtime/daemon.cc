#include "runtime/daemon.h"

#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "runtime/cluster.h"
#include "runtime/decision.h"
#include "runtime/elsewhere.h"
#include "runtime/file_io.h"
#include "runtime/json.h"
#include "runtime/link.h"
#include "runtime/move_in.h"
#include "runtime/paths.h"
#include "runtime/record.h"
#include "runtime/sandbox_list.h"
#include "runtime/sandbox_name.h"

namespace beam::runtime {
namespace {

constexpr int kBacklog = 128;
// Whoever connects has that long to say who it is, and then what it wants.
constexpr int kStrangerPatience = 10'000;
constexpr std::size_t kMostConnections = 512;
constexpr const char* kLock = "/beamd.lock";

std::string pid_text(const ProcessIdentity& identity) {
  return std::to_string(identity.pid) + " " + std::to_string(identity.start_time) + " " + identity.boot_id + "\n";
}

Result<ProcessIdentity> running_daemon(const std::string& home) {
  BEAM_TRY_ASSIGN(const std::string text, read_file(home + kLock, 256));
  ProcessIdentity identity;
  std::array<char, 64> boot{};
  unsigned long long start = 0;
  if (std::sscanf(text.c_str(), "%d %llu %63s", &identity.pid, &start, boot.data()) != 3) {
    return Error(ENOENT, home + kLock);
  }
  identity.start_time = start;
  identity.boot_id = boot.data();
  if (!identity.alive()) {
    return Error(ENOENT, home + kLock);
  }
  return identity;
}

Result<UniqueFd> listen_at(const Workstation& own) {
  const auto colon = own.address.rfind(':');
  struct addrinfo hints {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  struct addrinfo* found = nullptr;
  if (colon == std::string::npos ||
      ::getaddrinfo(own.address.substr(0, colon).c_str(), own.address.substr(colon + 1).c_str(), &hints, &found) != 0) {
    return Error(0, own.address + ": is no address to listen at; use HOST:PORT");
  }
  UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  const bool bound = socket && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                     ::bind(socket.get(), found->ai_addr, found->ai_addrlen) == 0 &&
                     ::listen(socket.get(), kBacklog) == 0;
  const int code = errno;
  ::freeaddrinfo(found);
  if (!bound) {
    return Error(code, own.address + ": cannot listen");
  }
  return socket;
}

// Where the sandbox's supervisor was killed before it decided, it can't run here any more.
Result<Decision> decision(const std::string& home, const DecisionRequest& request) {
  if (!valid_move(request.move) || !valid_name(request.name)) {
    return Error(EPROTO, "the question about a move is malformed");
  }
  BEAM_TRY_ASSIGN(auto verdict, decision_of(home, request.move));
  if (verdict == Decision::kOpen) {
    BEAM_TRY_ASSIGN(const auto store, RecordStore::open());
    const auto record = store.load(request.name);
    if (!record.ok() || !store.running(*record)) {
      BEAM_TRY_ASSIGN(verdict, decide(home, request.move, Decision::kGo));
    }
  }
  return Decision{static_cast<std::uint8_t>(verdict)};
}

// One connection, in a process of its own.
void serve(const Cluster& cluster, const std::string& home, UniqueFd socket) {
  auto link = Link::accept(cluster, std::move(socket), kStrangerPatience);
  if (!link.ok()) {
    BEAM_LOG_WARN(kRuntime, "a connection was refused: {}", link.error().message());
    return;
  }
  const auto frame = link->receive();
  if (!frame.ok()) {
    BEAM_LOG_WARN(kRuntime, "{}", frame.error().message());
    return;
  }
  link->set_patience(Link::kPatience);
  const auto answer = [&link](const auto& reply) {
    using Reply = std::decay_t<decltype(*reply)>;
    const auto sent = reply.ok() ? link->send(static_cast<const Reply&>(*reply))
                                 : link->send(Failed{1, reply.error().code(), reply.error().message()});
    if (!sent.ok() || !link->flush_all().ok()) {
      BEAM_LOG_INFO(kRuntime, "{}: did not take its answer", link->peer());
    }
  };
  switch (frame->type) {
    case MessageType::kOffer:
      if (const auto offer = frame->as<Offer>(); offer.ok()) {
        take_in(cluster, home, std::move(*link), *offer);
      }
      return;
    case MessageType::kDecisionRequest:
      if (const auto request = frame->as<DecisionRequest>(); request.ok()) {
        answer(decision(home, *request));
      }
      return;
    case MessageType::kLoadRequest:
      if (const auto store = RecordStore::open(); store.ok()) {
        answer(Result<Load>(load_here(*store)));
      }
      return;
    case MessageType::kListRequest: {
      const auto request = frame->as<ListRequest>();
      const auto store = RecordStore::open();
      if (request.ok()) {
        answer(store.ok() ? Result<List>(List{dump(list_sandboxes(*store, request->all))})
                          : Result<List>(store.error()));
      }
      return;
    }
    case MessageType::kRunVerb:
      if (const auto request = frame->as<RunVerb>(); request.ok()) {
        run_verb(home, std::move(*link), *request);
      }
      return;
    default:
      BEAM_LOG_WARN(kRuntime, "{}: unexpected message {}", link->peer(), static_cast<int>(frame->type));
  }
}

// What moves that came to nothing have left.
void sweep(const std::string& home) {
  constexpr auto kDay = std::chrono::hours(24);
  std::error_code fault;
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const char* leaf : {"/moves", "/incoming"}) {
    for (const auto& entry : std::filesystem::directory_iterator(home + leaf, fault)) {
      std::error_code ignored;
      if (now - entry.last_write_time(ignored) > kDay && !ignored) {
        std::filesystem::remove_all(entry.path(), ignored);
      }
    }
  }
}

class Daemon {
 public:
  Daemon(Cluster cluster, std::string home, UniqueFd listener)
      : cluster_(std::move(cluster)),
        home_(std::move(home)),
        listener_(io_, listener.release()),
        signals_(io_, SIGTERM, SIGINT, SIGCHLD) {}

  void run() {
    take_signal();
    accept();
    io_.run();
  }

 private:
  void take_signal() {
    signals_.async_wait([this](const std::error_code& fault, int signal) {
      if (fault) {
        return;
      }
      if (signal != SIGCHLD) {
        io_.stop();
        return;
      }
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        --connections_;
      }
      take_signal();
    });
  }

  void accept() {
    listener_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& fault) {
      if (fault) {
        return;
      }
      UniqueFd socket(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (socket && connections_ < kMostConnections) {
        take(std::move(socket));
      }
      accept();
    });
  }

  void take(UniqueFd socket) {
    io_.notify_fork(asio::io_context::fork_prepare);
    const pid_t child = ::fork();
    if (child != 0) {
      io_.notify_fork(asio::io_context::fork_parent);
      connections_ += child > 0 ? 1 : 0;
      return;
    }
    io_.notify_fork(asio::io_context::fork_child);
    // In a session of its own: nothing that ends the daemon ends a sandbox or those who follow it.
    ::setsid();
    signals_.clear();
    listener_.close();
    serve(cluster_, home_, std::move(socket));
    ::_exit(0);
  }

  Cluster cluster_;
  std::string home_;
  asio::io_context io_{1};
  asio::posix::stream_descriptor listener_;
  asio::signal_set signals_;
  std::size_t connections_ = 0;
};

}  // namespace

Result<> run_daemon(const std::string& home) {
  auto cluster = Cluster::open(home);
  if (!cluster.ok()) {
    return cluster.error().code() == ENOENT ? Error(0, home + ": belongs to no cluster")
                                                  .remedy("make a lab, whose workstations have daemons: beam lab up")
                                            : cluster.error();
  }
  const Workstation* own = cluster->find(cluster->self);
  if (own == nullptr) {
    return Error(0, cluster->directory + ": its list of workstations does not have " + cluster->self);
  }
  const UniqueFd lock(::open((home + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK ? Error(0, home + ": a daemon of it runs already") : Error::from_errno(home + kLock);
  }
  BEAM_TRY_ASSIGN(auto listener, listen_at(*own));
  BEAM_TRY_ASSIGN(const auto identity, ProcessIdentity::of(::getpid()));
  if (::ftruncate(lock.get(), 0) != 0) {
    return Error::from_errno(home + kLock);
  }
  BEAM_TRY(write_all(lock.get(), pid_text(identity)));
  // What its sandboxes call this workstation.
  ::setenv("BEAM_WORKSTATION", cluster->self.c_str(), 1);
  sweep(home);
  BEAM_LOG_INFO(kRuntime, "{}: listens at {}", own->name, own->address);
  Daemon(std::move(*cluster), home, std::move(listener)).run();
  ::unlink((home + kLock).c_str());
  return success();
}

Result<> stop_daemon(const std::string& home) {
  const auto identity = running_daemon(home);
  if (!identity.ok()) {
    return success();
  }
  ::kill(identity->pid, SIGTERM);
  for (int i = 0; i < 500; ++i) {
    if (!identity->alive()) {
      return success();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Error(ETIMEDOUT, home + ": its daemon, process " + std::to_string(identity->pid) + ", does not end");
}

}  // namespace beam::runtime
