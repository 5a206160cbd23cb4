// The process that supervises one sandbox: owns its engine, its terminals, its record and its socket.
//
// The main thread runs an asio loop and owns everything here; the engine's event thread only posts to it. Holds: the
// sandbox ends with COMMAND; the record says how before any client hears of it; the process ends once every client has
// been told.
#pragma once

#include <signal.h>

#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "interpose/engine.h"
#include "runtime/console.h"
#include "runtime/init_protocol.h"
#include "runtime/messages.h"
#include "runtime/record.h"

namespace beam::runtime {

class Session;

// What `beam run` asks for.
struct RunConfig {
  SandboxRecord record;  // an empty name: generate one
  std::string executable;
  std::vector<std::string> environment;
  mode_t umask = 022;
  bool keep_stdin = false;  // detached without a terminal: stdin is a pipe that nobody closes
  StreamSetup streams;
  bool trace = false;
  std::vector<std::string> trace_classes;
  UniqueFd trace_file;  // none: stderr
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
  };

  Supervisor(RunConfig config, RecordStore store, std::array<UniqueFd, 3> caller_streams);
  [[noreturn]] static void main(RunConfig config, RecordStore store, UniqueFd session);
  // Until COMMAND's process exists.
  Result<> start(const std::shared_ptr<Session>& session);
  Result<> listen();
  Result<> add_record();
  Result<> open_logs();
  Result<> start_command(const std::shared_ptr<Session>& session);
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

  RunConfig config_;
  RecordStore store_;
  std::array<UniqueFd, 3> caller_streams_;
  asio::io_context io_{1};
  asio::signal_set signals_{io_};
  std::unique_ptr<asio::posix::stream_descriptor> listener_;
  // As this process was started with, before it set up its own.
  sigset_t inherited_mask_{};
  sigset_t inherited_ignored_{};
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
  // Last, so that its threads end before anything that they post to.
  std::unique_ptr<interpose::Engine> engine_;
};

// The exit status that a shell shows for a waitpid(2) status.
[[nodiscard]] int exit_status_of(int wait_status);

}  // namespace beam::runtime
