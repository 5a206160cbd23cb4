// The client's side of a process that runs for it: passes terminal bytes, window sizes, signals and stops both ways
// until the process has ended or the user detaches.
#pragma once

#include <signal.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "runtime/channel.h"
#include "runtime/terminal.h"

namespace beam::runtime {

// Holds back, for its lifetime, the signals that a client passes on, so that none that arrives while the process starts
// is lost and none ends the client first.
class SignalBlock {
 public:
  SignalBlock();
  ~SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

  // The mask as the caller had it: a child's.
  [[nodiscard]] const sigset_t& inherited() const { return inherited_; }
  // The signals to take by signalfd(2).
  [[nodiscard]] const sigset_t& taken() const { return taken_; }

 private:
  sigset_t inherited_{};
  sigset_t taken_{};
};

// How the caller's streams map on a new process: which become a terminal, and how that is set up. Bits of other streams
// stay what they are. With `force`, all three become one.
StreamSetup plan_streams(const std::optional<Terminal>& terminal, bool force);

class Foreground {
 public:
  // `signals` must outlive this object.
  Foreground(Channel channel, std::optional<Terminal> terminal, const StreamSetup& streams, const SignalBlock& signals);
  ~Foreground();
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;

  Channel& channel() { return channel_; }
  // To the end; returns the exit status. Says what failed.
  int run();
  // After run(): Beam itself failed, rather than what ran.
  [[nodiscard]] bool failed() const { return failed_; }
  // After run(): what ran was frozen.
  [[nodiscard]] bool frozen() const { return frozen_; }
  // The sandbox's, once it has started.
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  int give_up(int status, const std::string& text);
  std::optional<int> handle(const Frame& frame);
  void started(const Started& message);
  void take_signals();
  void take_input();
  void send_input(std::string bytes);
  void write_output(const std::string& bytes);
  void own_terminal(bool keep_output);
  void follow_stop(int signal);
  void resume();
  void drop_streams();
  template <typename Message>
  void send(const Message& message);

  Channel channel_;
  std::optional<Terminal> terminal_;
  const StreamSetup streams_;
  const SignalBlock& signal_block_;
  UniqueFd signals_;
  std::string name_;
  int input_fd_ = -1;
  int output_fd_ = -1;
  bool input_is_terminal_ = false;
  bool reading_ = false;
  bool keep_output_ = false;
  bool held_prefix_ = false;
  bool detached_ = false;
  bool connection_lost_ = false;
  bool failed_ = false;
  bool frozen_ = false;
};

}  // namespace beam::runtime
