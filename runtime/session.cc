#include "runtime/session.h"

#include <signal.h>
#include <sys/socket.h>

#include "base/log.h"
#include "runtime/supervisor.h"

namespace beam::runtime {

Session::Session(asio::io_context& io, Supervisor& supervisor, UniqueFd socket)
    : supervisor_(supervisor), channel_(std::move(socket)), socket_(io, channel_.fd()), continue_again_(io) {}

Session::~Session() {
  if (console_) {
    console_->detach(*this);
  }
  if (socket_.is_open()) {
    socket_.release();
  }
}

void Session::start() {
  wait_readable();
}

void Session::follow(VirtualPid root, std::shared_ptr<Console> console, bool replay) {
  followed_ = root;
  console_ = std::move(console);
  if (console_) {
    console_->attach(*this, replay);
    console_->on_input_room = [weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->wait_readable();
      }
    };
  }
}

void Session::tell_stopped(int signal) {
  client_stops_ = true;
  send(Stopped{signal});
}

void Session::tell_continued() {
  if (!client_stops_ || closed_) {
    return;
  }
  struct ucred peer {};
  socklen_t length = sizeof peer;
  if (::getsockopt(channel_.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0) {
    return;
  }
  ::kill(peer.pid, SIGCONT);
  // It may have been about to stop, and would then miss that. It says so when it goes on.
  continue_again_.expires_after(std::chrono::milliseconds(50));
  continue_again_.async_wait([weak = weak_from_this()](const std::error_code& fault) {
    const auto self = weak.lock();
    if (self && !fault) {
      self->tell_continued();
    }
  });
}

void Session::resumed() {
  client_stops_ = false;
  continue_again_.cancel();
}

void Session::release_output() {
  holds_output_ = false;
  if (console_) {
    console_->resume();
  }
}

void Session::console_output(std::string_view bytes) {
  if (!closed_) {
    send(Output{std::string(bytes)});
  }
}

void Session::wait_readable() {
  if (reading_ || closed_ || (console_ && console_->input_congested())) {
    return;
  }
  reading_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const std::error_code& fault) {
                       self->reading_ = false;
                       if (!fault && !self->closed_) {
                         self->read();
                       }
                     });
}

void Session::read() {
  const auto more = channel_.fill();
  if (!more.ok() || !*more) {
    close();
    return;
  }
  while (!closed_) {
    auto frame = channel_.next();
    if (!frame.ok()) {
      BEAM_LOG_WARN(kRuntime, "a client was refused: {}", frame.error().message());
      send_last(Failed{125, frame.error().code(), frame.error().message()});
      return;
    }
    if (!frame->has_value()) {
      break;
    }
    handle(std::move(**frame));
  }
  wait_readable();
}

void Session::handle(Frame frame) {
  const auto result = dispatch(frame);
  if (!result.ok()) {
    send_last(Failed{125, result.error().code(), result.error().message()});
  }
}

Result<> Session::dispatch(Frame& frame) {
  if (supervisor_.passes_on(*this, frame)) {
    return success();
  }
  switch (frame.type) {
    case MessageType::kExec: {
      BEAM_TRY_ASSIGN(auto request, frame.as<ExecRequest>());
      return supervisor_.exec(*this, std::move(request), std::move(frame.fds));
    }
    case MessageType::kAttach: {
      BEAM_TRY_ASSIGN(const auto request, frame.as<AttachRequest>());
      return supervisor_.attach(*this, request);
    }
    case MessageType::kQuery:
      send_last(supervisor_.status());
      return success();
    case MessageType::kWait:
      waits_for_end_ = true;
      return success();
    case MessageType::kStop:
      waits_for_end_ = true;
      supervisor_.stop();
      return success();
    case MessageType::kKill: {
      BEAM_TRY_ASSIGN(const auto request, frame.as<KillRequest>());
      BEAM_TRY(supervisor_.kill(VirtualPid(request.vpid), request.signal));
      send_last(Done{});
      return success();
    }
    case MessageType::kFreeze: {
      BEAM_TRY_ASSIGN(const auto request, frame.as<FreezeRequest>());
      return supervisor_.freeze(*this, request);
    }
    case MessageType::kCheck:
      return supervisor_.check(*this);
    case MessageType::kMigrate: {
      BEAM_TRY_ASSIGN(const auto request, frame.as<MigrateRequest>());
      return supervisor_.migrate(*this, request);
    }
    case MessageType::kInput: {
      BEAM_TRY_ASSIGN(const auto input, frame.as<Input>());
      if (console_) {
        console_->input(input.bytes);
      }
      return success();
    }
    case MessageType::kInputEnd:
      if (console_) {
        console_->input_end();
      }
      return success();
    case MessageType::kResize: {
      BEAM_TRY_ASSIGN(const auto resize, frame.as<Resize>());
      if (console_) {
        console_->resize(resize.window, false);
      }
      return success();
    }
    case MessageType::kForward: {
      BEAM_TRY_ASSIGN(const auto forward, frame.as<Forward>());
      supervisor_.forward(*this, forward);
      return success();
    }
    case MessageType::kResume: {
      BEAM_TRY_ASSIGN(const auto resume, frame.as<Resume>());
      supervisor_.resume(*this, resume);
      return success();
    }
    default:
      return Error(EPROTO, "unexpected message " + std::to_string(static_cast<int>(frame.type)));
  }
}

void Session::after_send(const Result<>& result) {
  if (!result.ok()) {
    close();
    return;
  }
  if (channel_.queued() > 0) {
    wait_writable();
  }
}

void Session::wait_writable() {
  if (writing_ || closed_) {
    return;
  }
  writing_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const std::error_code& fault) {
                       self->writing_ = false;
                       if (fault || self->closed_) {
                         return;
                       }
                       self->after_send(self->channel_.flush());
                       if (self->console_ && !self->congested()) {
                         self->console_->resume();
                       }
                       self->close_if_done();
                     });
}

void Session::close_if_done() {
  if (closing_ && channel_.queued() == 0) {
    close();
  }
}

void Session::close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  if (console_) {
    console_->detach(*this);
    console_.reset();
  }
  socket_.release();
  supervisor_.forget(*this);
}

}  // namespace beam::runtime
