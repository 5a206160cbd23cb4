// The process that supervises one sandbox: owns its engine, its terminals, its record and its socket.
//
// The main thread runs an asio loop and owns everything here; the engine's event thread only posts to it. Holds: the
// sandbox ends with COMMAND; the record says how before any client hears of it; the process ends once every client has
// been told.
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "interpose/engine.h"
#include "migrate/freeze.h"
#include "rootfs/mount_plan.h"
#include "runtime/console.h"
#include "runtime/frame.h"
#include "runtime/init_protocol.h"
#include "runtime/messages.h"
#include "runtime/network.h"
#include "runtime/publisher.h"
#include "runtime/record.h"

namespace beam::runtime {

class Relay;
class Session;
struct StreamSources;

// What `beam thaw` asks for beside it.
struct ThawConfig {
  std::string image;  // absolute
  std::vector<ConsoleState> consoles;
  bool client_terminal = false;  // the client has one, whose window counts
  bool force = false;
  bool eager = false;
  VirtualPid root;  // as in SandboxDescription
  VirtualPid target;
  bool stopped = false;
  bool verified = false;  // the image has just come over a link, which lets nothing be changed
  bool held = false;      // until the client says Go
};

// What `beam run` or `beam thaw` asks for.
struct RunConfig {
  SandboxRecord record;      // an empty name: generate one
  bool joins_group = false;  // the record's group was asked for
  std::string executable;
  std::vector<std::string> environment;
  mode_t umask = 022;
  bool keep_stdin = false;  // detached without a terminal: stdin is a pipe that nobody closes
  StreamSetup streams;
  bool trace = false;
  std::vector<std::string> trace_classes;
  UniqueFd trace_file;                         // none: stderr
  std::optional<rootfs::MountOptions> mounts;  // none: paths are the workstation's
  std::optional<ThawConfig> thaw;
};

class Supervisor : public interpose::Observer {
 public:
  // Forks a supervisor for `config`, with this process's streams and with the signal mask `mask`. Returns the client's
  // end of the first session: its first message is Started or Failed.
  static Result<UniqueFd> launch(RunConfig config, RecordStore store, const sigset_t& mask);
  ~Supervisor() override;

  void on_exit(VirtualPid pid, int wait_status) override;
  void on_empty() override;
  void on_stop(VirtualPid pid, int signal) override;
  void on_continue(VirtualPid pid) override;

  // What sessions ask for; on the main thread.
  Result<> exec(Session& session, ExecRequest request, std::vector<UniqueFd> fds);
  Result<> attach(Session& session, const AttachRequest& request);
  [[nodiscard]] Status status() const;
  Result<> kill(VirtualPid target, int signal);
  void forward(Session& session, const Forward& message);
  void resume(Session& session, const Resume& message);
  void stop();
  Result<> freeze(Session& session, const FreezeRequest& request);
  Result<> check(Session& session);
  Result<> migrate(Session& session, const MigrateRequest& request);
  // True: the sandbox runs elsewhere, and what its client says has been passed on to there.
  bool passes_on(const Session& session, const Frame& frame);
  [[nodiscard]] const SandboxRecord& record() const { return config_.record; }
  [[nodiscard]] const std::optional<Ended>& ended() const { return ended_; }
  void forget(Session& session);

 private:
  // A process that was started for a client, with its terminal.
  struct Job {
    VirtualPid root;    // what the engine spawned
    VirtualPid target;  // what signals are for: COMMAND, or root itself
    std::shared_ptr<Console> console;
    bool stopped = false;
    std::array<UniqueFd, 3> streams;  // what stands for those that it was started with (stand_ins)
  };

  Supervisor(RunConfig config, RecordStore store, std::array<UniqueFd, 3> caller_streams);
  [[noreturn]] static void main(RunConfig config, RecordStore store, UniqueFd session);
  // Until COMMAND's process exists.
  Result<> start(const std::shared_ptr<Session>& session);
  Result<> listen();
  Result<> add_record();
  Result<> open_logs();
  Result<> publish();
  [[nodiscard]] Result<interpose::EngineOptions> engine_options() const;
  Result<> start_command(const std::shared_ptr<Session>& session);
  Result<StreamSources> take_streams();
  [[nodiscard]] std::optional<rootfs::MountOptions> mounts() const;
  [[nodiscard]] Result<std::optional<rootfs::ViewOptions>> view_options() const;
  void read_report();
  void command_executed();
  void abandon_launch(Failed failure);
  void accept();
  void exited(VirtualPid pid, int wait_status);
  void stopped(VirtualPid pid, int signal);
  void continued(VirtualPid pid);
  // Puts what a process inherits beside its streams into `request`.
  void inherit(interpose::SpawnRequest& request) const;
  void finish();
  void stop_when_told();
  // What a client that waits for the end of process or sandbox hears.
  [[nodiscard]] Ended end_message(int exit_status) const;

  // supervisor_freeze.cc
  Result<> thaw(const std::shared_ptr<Session>& session);
  [[nodiscard]] bool ending() const;
  using Consoles = std::vector<std::shared_ptr<Console>>;
  [[nodiscard]] Consoles consoles() const;
  [[nodiscard]] migrate::FreezeOptions freeze_options(const Consoles& consoles) const;
  Result<std::string> describe(const Consoles& consoles);
  // Runs `work` on the main thread and waits for it.
  template <typename T>
  T on_main_thread(std::function<T()> work) {
    // Shared: this thread may go on before set_value() has returned.
    const auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    asio::post(io_, [promise, work = std::move(work)] { promise->set_value(work()); });
    return future.get();
  }
  void frozen(const Result<migrate::FreezeReport>& result, const Obstacles& obstacles, bool keep_running,
              const std::shared_ptr<Session>& session);
  // Runs `work` beside the main thread and `done` on it. While it is busy so, requests that need the event thread,
  // which such work holds, are deferred.
  void work_aside(std::function<void()> work, std::function<void()> done);
  void defer(Session& session, std::function<Result<>(Session&)> request);
  void run_deferred();

  // supervisor_migrate.cc
  struct Migration;
  // Somebody here waits for COMMAND, or uses its terminal.
  [[nodiscard]] bool followed() const;
  void move_aside(Migration& work);
  Result<> send_ahead(Migration& work);
  Result<> hand_over(Migration& work, const std::vector<HostPid>& processes);
  void migrated(Migration& work);
  void leave();
  void relayed(Frame frame);
  template <typename Message>
  void relay_ended(const Message& message);

  RunConfig config_;
  RecordStore store_;
  std::array<UniqueFd, 3> caller_streams_;
  std::shared_ptr<ns::Store> names_;  // null: not needed
  Network network_;
  std::unique_ptr<Publisher> publisher_;  // null: nothing is published
  asio::io_context io_{1};
  asio::signal_set signals_{io_};
  std::unique_ptr<asio::posix::stream_descriptor> listener_;
  // As this process was started with, before it set up its own.
  sigset_t inherited_mask_{};
  sigset_t inherited_ignored_{};
  rlimit inherited_files_{};
  UniqueFd stdin_keeper_;
  std::unique_ptr<asio::posix::stream_descriptor> report_;
  InitReport report_buffer_{};
  std::list<std::shared_ptr<Session>> sessions_;
  std::map<VirtualPid, Job> jobs_;
  VirtualPid command_root_;
  std::shared_ptr<Session> command_session_;
  std::optional<int> command_status_;
  std::optional<Failed> launch_failure_;
  std::optional<Ended> ended_;
  bool empty_ = false;
  bool recorded_ = false;
  std::string replaced_record_;           // RecordStore::replace
  std::array<UniqueFd, 3> stream_names_;  // what stands for COMMAND's streams (stand_ins)
  bool busy_ = false;
  std::thread worker_;
  std::deque<std::function<void()>> deferred_;
  std::vector<std::shared_ptr<Console>> orphan_consoles_;  // of processes that were executed before a thaw
  std::optional<std::string> frozen_image_;                // the sandbox ends because it is there
  std::shared_ptr<Session> freezer_session_;
  Frozen freezer_reply_;
  std::shared_ptr<Session> mover_;
  std::string mover_fault_;
  std::optional<std::string> moved_to_;  // the sandbox ends here because it runs there
  bool left_ = false;                    // nothing of it is here any more
  std::shared_ptr<Relay> relay_;         // to where it is, for those who wait for it here
  // Last, so that its threads end before anything that they post to.
  std::unique_ptr<interpose::Engine> engine_;
};

// Descriptors by which a freeze knows streams again, without keeping open those whose other end is somebody's. Not
// those of `terminal_mask`.
[[nodiscard]] std::array<UniqueFd, 3> stand_ins(const std::array<UniqueFd, 3>& streams, unsigned terminal_mask);

[[nodiscard]] Obstacles to_message(const std::vector<migrate::Obstacle>& list);

// The exit status that a shell shows for a waitpid(2) status.
[[nodiscard]] int exit_status_of(int wait_status);

}  // namespace beam::runtime
