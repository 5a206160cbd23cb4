#include "runtime/relay.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <asio/post.hpp>

#include "base/log.h"
#include "runtime/link_messages.h"

namespace beam::runtime {
namespace {

constexpr std::size_t kPiece = 64U << 10U;

// Neither waits, whatever the descriptor's flags say: they may be somebody else's (preadv2(2), RWF_NOWAIT). Where the
// kernel can't, what poll(2) promises is kept to.
ssize_t read_now(int fd, char* bytes, std::size_t size) {
  struct iovec piece = {bytes, size};
  const ssize_t got = ::preadv2(fd, &piece, 1, -1, RWF_NOWAIT);
  if (got >= 0 || errno != EOPNOTSUPP) {
    return got;
  }
  return ::read(fd, bytes, size);
}

ssize_t write_now(int fd, const char* bytes, std::size_t size) {
  struct iovec piece = {const_cast<char*>(bytes), size};
  const ssize_t put = ::pwritev2(fd, &piece, 1, -1, RWF_NOWAIT);
  if (put >= 0 || errno != EOPNOTSUPP) {
    return put;
  }
  return ::write(fd, bytes, std::min<std::size_t>(size, PIPE_BUF));
}

bool is_regular(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISBLK(info.st_mode));
}

}  // namespace

Relay::Relay(asio::io_context& io, Link link, Handlers handlers)
    : io_(io), link_(std::move(link)), socket_(io, link_.fd()), handlers_(std::move(handlers)) {}

Relay::~Relay() {
  if (socket_.is_open()) {
    socket_.release();
  }
}

Relay::Stream* Relay::add(std::size_t stream, UniqueFd fd, bool source) {
  Stream& made = streams_.at(stream).emplace();
  made.number = stream;
  made.source = source;
  made.fd = std::move(fd);
  if (!is_regular(made.fd.get())) {
    // A descriptor of its own: the same one can't be waited for twice.
    UniqueFd own(::fcntl(made.fd.get(), F_DUPFD_CLOEXEC, 3));
    std::error_code fault;
    auto waiter = std::make_unique<asio::posix::stream_descriptor>(io_);
    waiter->assign(own.get(), fault);
    if (!fault) {
      (void)own.release();
      made.waiter = std::move(waiter);
    }
  }
  return &made;
}

void Relay::add_source(std::size_t stream, UniqueFd fd) {
  add(stream, std::move(fd), true);
}

void Relay::add_sink(std::size_t stream, UniqueFd fd) {
  add(stream, std::move(fd), false);
}

void Relay::start() {
  wait_link();
  for (auto& stream : streams_) {
    if (stream && stream->source) {
      run(*stream);
    }
  }
  // What came with the last message before may be here already.
  asio::post(io_, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->closed_) {
      self->read_link();
    }
  });
}

bool Relay::idle() const {
  for (const auto& stream : streams_) {
    if (stream && (stream->source ? stream->fd || stream->on_the_way > 0 : !stream->pending.empty())) {
      return false;
    }
  }
  return true;
}

void Relay::send_frame(MessageType type, std::string_view payload) {
  if (closed_) {
    return;
  }
  if (const auto sent = link_.send_frame(type, payload); !sent.ok()) {
    lost(sent.error());
    return;
  }
  wait_link_writable();
}

void Relay::flush_all() {
  if (!closed_) {
    (void)link_.flush_all().ok();
  }
}

void Relay::wait_link() {
  if (reading_ || closed_) {
    return;
  }
  reading_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [weak = weak_from_this()](const std::error_code& fault) {
                       const auto self = weak.lock();
                       if (!self || fault || self->closed_) {
                         return;
                       }
                       self->reading_ = false;
                       self->read_link();
                     });
}

void Relay::wait_link_writable() {
  if (writing_ || closed_ || link_.queued() == 0) {
    return;
  }
  writing_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [weak = weak_from_this()](const std::error_code& fault) {
                       const auto self = weak.lock();
                       if (!self || fault || self->closed_) {
                         return;
                       }
                       self->writing_ = false;
                       if (const auto sent = self->link_.flush(); !sent.ok()) {
                         self->lost(sent.error());
                         return;
                       }
                       self->wait_link_writable();
                     });
}

void Relay::read_link() {
  const auto more = link_.fill();
  while (!closed_) {
    auto frame = link_.next();
    if (!frame.ok()) {
      lost(frame.error());
      return;
    }
    if (!frame->has_value()) {
      break;
    }
    handle(std::move(**frame));
  }
  if (closed_) {
    return;
  }
  if (!more.ok() || !*more) {
    lost(more.ok() ? Error(EPIPE, link_.peer() + ": ended the connection") : more.error());
    return;
  }
  if (link_.has_more()) {
    asio::post(io_, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && !self->closed_) {
        self->read_link();
      }
    });
    return;
  }
  wait_link();
}

void Relay::handle(Frame frame) {
  const auto named = [this](std::uint8_t number) -> Stream* {
    return number < streams_.size() && streams_[number] ? &*streams_[number] : nullptr;
  };
  switch (frame.type) {
    case MessageType::kStreamBytes: {
      auto message = frame.as<StreamBytes>();
      Stream* stream = message.ok() ? named(message->stream) : nullptr;
      if (stream == nullptr || stream->source || stream->pending.size() + message->bytes.size() > 2 * kWindow) {
        lost(Error(EPROTO, link_.peer() + ": sends bytes of no stream"));
        return;
      }
      if (stream->fd) {
        stream->pending += message->bytes;
        run(*stream);
      } else {
        // Nobody takes them; the other side has been told.
        send(StreamTaken{message->stream, static_cast<std::uint32_t>(message->bytes.size())});
      }
      return;
    }
    case MessageType::kStreamEnd: {
      const auto message = frame.as<StreamEnd>();
      Stream* stream = message.ok() ? named(message->stream) : nullptr;
      if (stream == nullptr) {
        return;
      }
      stream->ends = true;
      if (stream->source) {
        stream->on_the_way = 0;
        end(*stream);
      } else {
        run(*stream);
      }
      return;
    }
    case MessageType::kStreamTaken: {
      const auto message = frame.as<StreamTaken>();
      Stream* stream = message.ok() ? named(message->stream) : nullptr;
      if (stream != nullptr && stream->source) {
        stream->on_the_way -= std::min<std::size_t>(stream->on_the_way, message->bytes);
        run(*stream);
        handlers_.on_stream_end();
      }
      return;
    }
    default:
      handlers_.on_frame(std::move(frame));
  }
}

// Does what there is to do for a stream, once its descriptor is ready.
void Relay::run(Stream& stream) {
  const bool wanted = stream.source ? stream.fd && stream.on_the_way < kWindow : !stream.pending.empty() || stream.ends;
  if (closed_ || stream.waiting || !stream.fd || !wanted) {
    return;
  }
  const auto act = [weak = weak_from_this(), number = stream.number](const std::error_code& fault) {
    const auto self = weak.lock();
    if (!self || fault || self->closed_) {
      return;
    }
    Stream& due = *self->streams_[number];
    due.waiting = false;
    if (due.fd) {
      due.source ? self->read_source(due) : self->write_sink(due);
    }
  };
  stream.waiting = true;
  if (!stream.waiter || (!stream.source && stream.pending.empty())) {
    asio::post(io_, [act] { act({}); });
    return;
  }
  stream.waiter->async_wait(
      stream.source ? asio::posix::stream_descriptor::wait_read : asio::posix::stream_descriptor::wait_write, act);
}

void Relay::read_source(Stream& stream) {
  std::array<char, kPiece> buffer;
  const ssize_t got = read_now(stream.fd.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    run(stream);
    return;
  }
  if (got <= 0) {
    end(stream);
    return;
  }
  stream.on_the_way += static_cast<std::size_t>(got);
  send(
      StreamBytes{static_cast<std::uint8_t>(stream.number), std::string(buffer.data(), static_cast<std::size_t>(got))});
  run(stream);
}

void Relay::write_sink(Stream& stream) {
  if (!stream.pending.empty()) {
    const ssize_t put = write_now(stream.fd.get(), stream.pending.data(), stream.pending.size());
    if (put < 0 && errno != EAGAIN && errno != EINTR) {
      const std::size_t dropped = std::exchange(stream.pending, {}).size();
      send(StreamTaken{static_cast<std::uint8_t>(stream.number), static_cast<std::uint32_t>(dropped)});
      end(stream);
      return;
    }
    if (put > 0) {
      stream.pending.erase(0, static_cast<std::size_t>(put));
      send(StreamTaken{static_cast<std::uint8_t>(stream.number), static_cast<std::uint32_t>(put)});
    }
  }
  if (stream.pending.empty() && stream.ends) {
    end(stream);
    return;
  }
  run(stream);
}

// Of a source: nothing more comes. Of a sink: nothing more can be written, or is to be.
void Relay::end(Stream& stream) {
  if (!stream.fd) {
    return;
  }
  stream.waiter.reset();
  stream.fd.reset();
  if (!stream.ends) {
    send(StreamEnd{static_cast<std::uint8_t>(stream.number)});
  }
  handlers_.on_stream_end();
}

void Relay::lost(const Error& error) {
  if (!closed_) {
    close();
    handlers_.on_lost(error);
  }
}

UniqueFd Relay::take_source(std::size_t stream) {
  return streams_.at(stream) && streams_[stream]->source ? std::move(streams_[stream]->fd) : UniqueFd();
}

void Relay::close() {
  closed_ = true;
  for (auto& stream : streams_) {
    if (stream) {
      stream->waiter.reset();
    }
  }
  std::error_code ignored;
  if (socket_.is_open()) {
    socket_.cancel(ignored);
  }
}

}  // namespace beam::runtime
