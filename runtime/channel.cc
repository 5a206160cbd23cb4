#include "runtime/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace beam::runtime {
Result<std::pair<UniqueFd, UniqueFd>> make_socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Error::from_errno("make a socket pair");
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<> Channel::send_frame(MessageType type, std::string_view payload, const std::vector<int>& fds) {
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
  }
  std::optional<PendingFds> pending;
  if (!fds.empty()) {
    pending = PendingFds{out_.size(), {}};
    for (const int fd : fds) {
      UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
      if (!copy) {
        return Error::from_errno("duplicate descriptor " + std::to_string(fd));
      }
      pending->fds.push_back(std::move(copy));
    }
  }
  BEAM_TRY(append_frame(out_, type, payload, fds.size()));
  if (pending) {
    out_fds_.push_back(std::move(*pending));
  }
  return flush();
}

Result<> Channel::transmit(int flags) {
  while (sent_ < out_.size()) {
    // Descriptors go with the first byte of their frame; a write never runs past the next frame that has some.
    std::size_t end = out_.size();
    std::vector<int> fds;
    if (!out_fds_.empty()) {
      if (out_fds_.front().offset == sent_) {
        for (const auto& fd : out_fds_.front().fds) {
          fds.push_back(fd.get());
        }
        if (out_fds_.size() > 1) {
          end = out_fds_[1].offset;
        }
      } else {
        end = out_fds_.front().offset;
      }
    }
    struct iovec piece = {out_.data() + sent_, end - sent_};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFds)> control{};
    struct msghdr message {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      struct cmsghdr* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
    }
    const ssize_t put = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | flags);
    if (put < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno == EAGAIN) {
        return success();
      }
      return Error::from_errno("send to the peer");
    }
    sent_ += static_cast<std::size_t>(put);
    if (!fds.empty()) {
      out_fds_.pop_front();
    }
  }
  return success();
}

Result<> Channel::flush() {
  BEAM_TRY(transmit(MSG_DONTWAIT));
  // A queue that never quite empties must not keep what it has sent.
  if (sent_ > (1U << 20U)) {
    out_.erase(0, sent_);
    for (auto& pending : out_fds_) {
      pending.offset -= sent_;
    }
    sent_ = 0;
  }
  return success();
}

Result<> Channel::flush_all() {
  while (queued() > 0) {
    BEAM_TRY(wait_for(socket_.get(), POLLOUT, patience_ms_, "the supervisor"));
    BEAM_TRY(flush());
  }
  return success();
}

Result<bool> Channel::fill() {
  if (taken_ > 0) {
    in_.erase(0, taken_);
    taken_ = 0;
  }
  std::array<char, 65536> buffer;
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFds)> control;
  struct iovec piece = {buffer.data(), buffer.size()};
  struct msghdr message {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == EAGAIN) {
      return true;
    }
    return Error::from_errno("receive from the peer");
  }
  for (struct cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
        in_fds_.emplace_back(fd);
      }
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return Error(EPROTO, "receive from the peer: too many descriptors");
  }
  if (got == 0) {
    return false;
  }
  in_.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

Result<std::optional<Frame>> Channel::next() {
  BEAM_TRY_ASSIGN(auto received, first_frame(std::string_view(in_).substr(taken_)));
  if (!received) {
    return std::optional<Frame>();
  }
  if (received->fds > in_fds_.size()) {
    return Error(EPROTO, "receive from the peer: descriptors are missing");
  }
  for (std::size_t i = 0; i < received->fds; ++i) {
    received->frame.fds.push_back(std::move(in_fds_.front()));
    in_fds_.pop_front();
  }
  taken_ += received->bytes;
  return std::optional<Frame>(std::move(received->frame));
}

Result<Frame> Channel::receive() {
  while (true) {
    BEAM_TRY_ASSIGN(auto frame, next());
    if (frame.has_value()) {
      return std::move(*frame);
    }
    BEAM_TRY(wait_for(socket_.get(), POLLIN, patience_ms_, "the supervisor"));
    BEAM_TRY_ASSIGN(const bool more, fill());
    if (!more) {
      return Error(EPIPE, "the supervisor ended the connection");
    }
  }
}

}  // namespace beam::runtime
