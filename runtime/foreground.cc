#include "runtime/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

#include "base/log.h"
#include "runtime/file_io.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

constexpr char kDetachPrefix = 0x10;  // ctrl-p
constexpr char kDetachKey = 0x11;     // ctrl-q
constexpr std::size_t kQueueLimit = 64U << 10U;

// The signals that stay the client's own: those that can't be taken, those that report its own faults, and those by
// which a terminal keeps a background process off.
constexpr std::array kOwnSignals = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                                    SIGTRAP, SIGSYS,  SIGCHLD, SIGTTIN, SIGTTOU};

}  // namespace

SignalBlock::SignalBlock() {
  ::sigfillset(&taken_);
  for (const int signal : kOwnSignals) {
    ::sigdelset(&taken_, signal);
  }
  ::sigprocmask(SIG_BLOCK, &taken_, &inherited_);
  // Blocked, so that a write to a closed pipe fails with EPIPE, but not passed on: it is nobody's news.
  ::sigdelset(&taken_, SIGPIPE);
}

SignalBlock::~SignalBlock() {
  ::sigprocmask(SIG_SETMASK, &inherited_, nullptr);
}

StreamSetup plan_streams(const std::optional<Terminal>& terminal, bool force) {
  StreamSetup setup;
  const unsigned own = terminal.has_value() ? terminal->mask() : 0;
  setup.terminal_mask = static_cast<std::uint8_t>(force ? 7 : own);
  if (terminal.has_value()) {
    setup.termios = terminal->modes();
    setup.window = terminal->window();
  }
  // With both its input and its output there, the process may have the terminal at once. Otherwise something else may
  // be at work on it, a pager behind a pipe for example, and it gets the terminal when it asks.
  setup.foreground = force || ((own & 3) == 3 && terminal->foreground());
  return setup;
}

Foreground::Foreground(Channel channel, std::optional<Terminal> terminal, const StreamSetup& streams,
                       const SignalBlock& signals)
    : channel_(std::move(channel)),
      terminal_(std::move(terminal)),
      streams_(streams),
      signal_block_(signals),
      signals_(::signalfd(-1, &signals.taken(), SFD_CLOEXEC | SFD_NONBLOCK)) {
  const unsigned own = terminal_.has_value() ? terminal_->mask() : 0;
  const unsigned mask = streams_.terminal_mask;
  if ((mask & 1) != 0 && (own & 1) == 0) {
    input_fd_ = STDIN_FILENO;
  } else if (terminal_.has_value()) {
    input_fd_ = terminal_->fd();
    input_is_terminal_ = true;
  }
  if ((mask & 2) != 0) {
    output_fd_ = STDOUT_FILENO;
  } else if ((mask & 4) != 0) {
    output_fd_ = STDERR_FILENO;
  } else if (terminal_.has_value()) {
    output_fd_ = terminal_->fd();
  }
  keep_output_ = (own & 2) == 0;
}

Foreground::~Foreground() = default;

template <typename Message>
void Foreground::send(const Message& message) {
  if (!connection_lost_ && !channel_.send(message).ok()) {
    // The reading side sees the end as well, after what was still on its way.
    connection_lost_ = true;
  }
}

int Foreground::give_up(int status, const std::string& text) {
  failed_ = true;
  if (terminal_.has_value()) {
    terminal_->restore();
  }
  return fail(status, text);
}

int Foreground::run() {
  while (true) {
    while (true) {
      auto frame = channel_.next();
      if (!frame.ok()) {
        return give_up(kExitBeamFailed,
                       name_.empty() ? frame.error().message() : name_ + ": " + frame.error().message());
      }
      if (!frame->has_value()) {
        break;
      }
      if (const auto status = handle(**frame)) {
        return *status;
      }
    }
    if (detached_) {
      if (terminal_.has_value()) {
        terminal_->restore();
      }
      say(name_ + ": detached; to return: beam attach " + name_);
      return kExitDone;
    }
    const bool accept_input = reading_ && channel_.queued() < kQueueLimit;
    std::array<struct pollfd, 3> entries = {{
        {channel_.fd(), static_cast<short>(POLLIN | (channel_.queued() > 0 ? POLLOUT : 0)), 0},
        {signals_.get(), POLLIN, 0},
        {accept_input ? input_fd_ : -1, POLLIN, 0},
    }};
    if (::poll(entries.data(), entries.size(), -1) < 0) {
      continue;
    }
    if ((entries[1].revents & POLLIN) != 0) {
      take_signals();
    }
    if (entries[2].revents != 0) {
      take_input();
    }
    if ((entries[0].revents & POLLOUT) != 0 && !channel_.flush().ok()) {
      connection_lost_ = true;
    }
    if ((entries[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      const auto more = channel_.fill();
      if (!more.ok() || !*more) {
        const std::string who = name_.empty() ? "the sandbox" : name_;
        return give_up(
            kExitBeamFailed,
            who + ": its supervisor has ended unexpectedly, and the sandbox with it; see: beam ps -a, beam rm");
      }
    }
  }
}

std::optional<int> Foreground::handle(const Frame& frame) {
  switch (frame.type) {
    case MessageType::kStarted: {
      const auto message = frame.as<Started>();
      if (message.ok()) {
        started(*message);
      }
      return std::nullopt;
    }
    case MessageType::kOutput: {
      const auto message = frame.as<Output>();
      if (message.ok()) {
        write_output(message->bytes);
      }
      return std::nullopt;
    }
    case MessageType::kWantsTerminal: {
      const auto message = frame.as<WantsTerminal>();
      if (message.ok()) {
        own_terminal(keep_output_ && !message->sets_modes);
      }
      return std::nullopt;
    }
    case MessageType::kStopped: {
      const auto message = frame.as<Stopped>();
      if (message.ok()) {
        follow_stop(message->signal);
      }
      return std::nullopt;
    }
    case MessageType::kEnded: {
      const auto message = frame.as<Ended>();
      if (!message.ok()) {
        return give_up(kExitBeamFailed, name_ + ": " + message.error().message());
      }
      if (terminal_.has_value()) {
        terminal_->restore();
      }
      if (!message->image.empty()) {
        frozen_ = true;
        say(name_ + " frozen to " + message->image);
      }
      return message->exit_status;
    }
    case MessageType::kFailed: {
      const auto message = frame.as<Failed>();
      if (terminal_.has_value()) {
        terminal_->restore();
      }
      return message.ok() ? give_up(message->exit_status, message->message)
                          : give_up(kExitBeamFailed, message.error().message());
    }
    default:
      return give_up(kExitBeamFailed, name_ + ": unexpected message " + std::to_string(static_cast<int>(frame.type)));
  }
}

void Foreground::started(const Started& message) {
  name_ = message.name;
  BEAM_LOG_INFO(kRuntime, "{}: process {} runs", message.name, message.vpid);
  drop_streams();
  if (streams_.terminal_mask == 0) {
    return;
  }
  if (!input_is_terminal_) {
    reading_ = input_fd_ >= 0;
  } else if (streams_.foreground) {
    own_terminal(keep_output_);
  }
}

// The process has its streams. Whoever is at their other ends has to see when it closes one of them, so this process
// must not keep it open. stderr stays, for Beam's own words.
void Foreground::drop_streams() {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const unsigned own = terminal_.has_value() ? terminal_->mask() : 0;
  for (int fd = 0; fd < 2; ++fd) {
    const unsigned bit = 1U << fd;
    if (((streams_.terminal_mask | own) & bit) == 0 && null) {
      ::dup2(null.get(), fd);
    }
  }
}

void Foreground::own_terminal(bool keep_output) {
  if (!terminal_.has_value() || reading_) {
    return;
  }
  // As the terminal's driver does with a background process that reads: it stops until its shell brings it to the
  // front.
  while (!terminal_->foreground()) {
    if (process_group_is_orphaned()) {
      return;
    }
    ::kill(0, SIGTTIN);
  }
  const auto raw = terminal_->make_raw(keep_output);
  if (!raw.ok()) {
    say(raw.error().message());
    return;
  }
  reading_ = true;
  send(Resize{terminal_->window()});
}

void Foreground::take_signals() {
  struct signalfd_siginfo info {};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH && streams_.terminal_mask != 0) {
      if (terminal_.has_value()) {
        send(Resize{terminal_->window()});
      }
    } else if (signal == SIGCONT) {
      resume();
    } else {
      // A signal of the terminal's driver goes to every process of the foreground group.
      send(Forward{signal, info.ssi_code == SI_KERNEL});
    }
  }
}

// After this process was continued: by its shell, which may have changed the terminal's modes meanwhile.
void Foreground::resume() {
  const bool front = terminal_.has_value() && terminal_->foreground();
  const bool with_terminal = streams_.terminal_mask != 0 && streams_.foreground && front;
  if (with_terminal && input_is_terminal_) {
    terminal_->restore();
    reading_ = false;
    own_terminal(keep_output_);
  } else if (terminal_.has_value() && input_is_terminal_) {
    terminal_->restore();
    reading_ = false;
  }
  send(Resume{with_terminal});
}

void Foreground::follow_stop(int signal) {
  if (process_group_is_orphaned()) {
    // Natively such a stop is ignored, as nobody could end it (setpgid(2), POSIX's orphaned process groups).
    send(Resume{terminal_.has_value() && streams_.foreground});
    return;
  }
  const bool had_terminal = reading_ && input_is_terminal_;
  if (terminal_.has_value()) {
    terminal_->restore();
  }
  if (input_is_terminal_) {
    reading_ = false;
  }
  if (had_terminal && signal == SIGTSTP) {
    // The rest of the pipeline that a ^Z would have stopped. This process holds the signal back and takes it off again.
    ::kill(0, SIGTSTP);
    sigset_t only;
    ::sigemptyset(&only);
    ::sigaddset(&only, SIGTSTP);
    const struct timespec now {};
    ::sigtimedwait(&only, nullptr, &now);
  }
  ::raise(SIGSTOP);
  // Its SIGCONT is now waiting in the descriptor of signals.
}

void Foreground::take_input() {
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(input_fd_, buffer.data(), buffer.size());
  if (got > 0) {
    send_input(std::string(buffer.data(), static_cast<std::size_t>(got)));
    return;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  // The end of the input, or a terminal that has gone.
  reading_ = false;
  if (got == 0) {
    send(InputEnd{});
  }
}

void Foreground::send_input(std::string bytes) {
  if (input_is_terminal_) {
    std::string passed;
    for (const char c : bytes) {
      if (held_prefix_) {
        held_prefix_ = false;
        if (c == kDetachKey) {
          detached_ = true;
          break;
        }
        passed += kDetachPrefix;
      }
      if (c == kDetachPrefix) {
        held_prefix_ = true;
      } else {
        passed += c;
      }
    }
    bytes = std::move(passed);
  }
  if (!bytes.empty()) {
    send(Input{std::move(bytes)});
  }
}

void Foreground::write_output(const std::string& bytes) {
  if (output_fd_ < 0) {
    return;
  }
  const auto written = write_all(output_fd_, bytes);
  if (!written.ok()) {
    // A terminal that was closed, or the end of a pipe. The process hears of it by the SIGHUP that follows, if at all.
    BEAM_LOG_INFO(kRuntime, "{}: output lost: {}", name_, written.error().message());
    output_fd_ = -1;
  }
}

}  // namespace beam::runtime
