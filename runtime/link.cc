#include "runtime/link.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <utility>

namespace beam::runtime {
namespace {

// Of what waits to be sent before more is taken in from elsewhere.
constexpr std::size_t kPiece = 64U << 10U;
constexpr std::size_t kReadAhead = 256U << 10U;
// What one fill() takes at most, or a fast sender would keep it for ever.
constexpr std::size_t kMostAtOnce = 512U << 10U;

struct Addresses {
  struct addrinfo* list = nullptr;
  ~Addresses() {
    if (list != nullptr) {
      ::freeaddrinfo(list);
    }
  }
};

Result<UniqueFd> open_connection(const Workstation& peer, int patience_ms) {
  const auto colon = peer.address.rfind(':');
  const std::string host = peer.address.substr(0, colon);
  const std::string port = colon == std::string::npos ? "" : peer.address.substr(colon + 1);
  struct addrinfo hints {};
  hints.ai_socktype = SOCK_STREAM;
  Addresses found;
  if (const int fault = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found.list); fault != 0) {
    return Error(0, peer.name + ": its address " + peer.address + ": " + ::gai_strerror(fault));
  }
  int code = ENOENT;
  for (const struct addrinfo* each = found.list; each != nullptr; each = each->ai_next) {
    UniqueFd socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, each->ai_protocol));
    if (!socket) {
      code = errno;
      continue;
    }
    if (::connect(socket.get(), each->ai_addr, each->ai_addrlen) == 0) {
      return socket;
    }
    code = errno;
    if (code == EINPROGRESS) {
      const auto waited = wait_for(socket.get(), POLLOUT, patience_ms, peer.name);
      socklen_t size = sizeof code;
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &code, &size);
      if (waited.ok() && code == 0) {
        return socket;
      }
      code = waited.ok() ? code : waited.error().code();
    }
  }
  return Error(code, peer.name + ": cannot be reached at " + peer.address).remedy("start its daemon: beamd");
}

}  // namespace

void Link::Free::operator()(ssl_st* session) const {
  SSL_free(session);
}
void Link::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

Link::Link(UniqueFd socket, int patience_ms) : socket_(std::move(socket)), patience_ms_(patience_ms) {}
Link::Link(Link&&) noexcept = default;
Link& Link::operator=(Link&&) noexcept = default;
Link::~Link() {
  if (session_ != nullptr && !ended_) {
    ERR_clear_error();
    SSL_shutdown(session_.get());
  }
}

Result<Link> Link::connect(const Cluster& cluster, const Workstation& peer, int patience_ms) {
  BEAM_TRY_ASSIGN(auto socket, open_connection(peer, patience_ms));
  Link link(std::move(socket), patience_ms);
  link.peer_ = peer.name;
  BEAM_TRY(link.handshake(cluster, false));
  if (link.peer_ != peer.name) {
    return Error(0, peer.name + ": at " + peer.address + " answers workstation " + link.peer_)
        .remedy("correct the list of workstations in " + cluster.directory);
  }
  return link;
}

Result<Link> Link::accept(const Cluster& cluster, UniqueFd socket, int patience_ms) {
  Link link(std::move(socket), patience_ms);
  const int flags = ::fcntl(link.fd(), F_GETFL);
  ::fcntl(link.fd(), F_SETFL, flags | O_NONBLOCK);
  BEAM_TRY(link.handshake(cluster, true));
  return link;
}

Error Link::fault(const char* what) const {
  const unsigned long code = ERR_get_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return {EPROTO, std::string(what) + " " + peer_ + (reason != nullptr ? std::string(": ") + reason : "")};
}

Result<> Link::handshake(const Cluster& cluster, bool server) {
  // OpenSSL writes with write(2); the end of a connection is an error here, and not the end of this process.
  ::signal(SIGPIPE, SIG_IGN);
  const int one = 1;
  ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  context_.reset(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  SSL_CTX* const context = context_.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_load_verify_locations(context, cluster.authority_file().c_str(), nullptr) != 1 ||
      SSL_CTX_use_certificate_file(context, cluster.certificate_file().c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, cluster.key_file().c_str(), SSL_FILETYPE_PEM) != 1) {
    return fault("use the keys of the cluster to talk to");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Several records at once, rather than two reads for each.
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadAhead);
  // A connection is never taken up again under an earlier one's keys.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  session_.reset(SSL_new(context));
  if (session_ == nullptr || SSL_set_fd(session_.get(), fd()) != 1) {
    return fault("talk to");
  }
  for (;;) {
    ERR_clear_error();
    const int result = server ? SSL_accept(session_.get()) : SSL_connect(session_.get());
    if (result == 1) {
      break;
    }
    BEAM_TRY(wait_after(result, "authenticate", true));
  }
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(session_.get()), X509_free);
  std::array<char, 256> name{};
  if (certificate == nullptr || SSL_get_verify_result(session_.get()) != X509_V_OK ||
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name.data(),
                                static_cast<int>(name.size())) <= 0) {
    return fault("authenticate");
  }
  peer_ = name.data();
  return success();
}

// False: it would have to wait.
Result<bool> Link::wait_after(int result, const char* what, bool may_wait) {
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      if (may_wait) {
        BEAM_TRY(wait_for(fd(), POLLIN, patience_ms_, peer_));
      }
      return may_wait;
    case SSL_ERROR_WANT_WRITE:
      if (may_wait) {
        BEAM_TRY(wait_for(fd(), POLLOUT, patience_ms_, peer_));
      }
      return may_wait;
    case SSL_ERROR_ZERO_RETURN:
      ended_ = true;
      return Error(EPIPE, peer_ + ": ended the connection");
    case SSL_ERROR_SYSCALL:
      ended_ = true;
      return errno != 0 ? Error(errno, std::string(what) + " " + peer_)
                        : Error(EPIPE, peer_ + ": ended the connection");
    default:
      ended_ = true;
      return fault(what);
  }
}

Result<> Link::send_frame(MessageType type, std::string_view payload) {
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
  }
  BEAM_TRY(append_frame(out_, type, payload, 0));
  return flush();
}

Result<> Link::flush() {
  while (sent_ < out_.size() && !ended_) {
    ERR_clear_error();
    errno = 0;
    const int put = SSL_write(session_.get(), out_.data() + sent_,
                              static_cast<int>(std::min<std::size_t>(out_.size() - sent_, kPiece)));
    if (put <= 0) {
      BEAM_TRY_ASSIGN(const bool again, wait_after(put, "send to", false));
      if (!again) {
        break;
      }
    } else {
      sent_ += static_cast<std::size_t>(put);
    }
  }
  if (sent_ > (1U << 20U)) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
  return success();
}

Result<> Link::flush_all() {
  while (queued() > 0) {
    BEAM_TRY(flush());
    if (ended_) {
      return Error(EPIPE, peer_ + ": ended the connection");
    }
    if (queued() > 0) {
      BEAM_TRY(wait_for(fd(), POLLOUT, patience_ms_, peer_));
    }
  }
  return success();
}

Result<bool> Link::fill() {
  if (taken_ > 0) {
    in_.erase(0, std::exchange(taken_, 0));
  }
  std::size_t taken = 0;
  more_ = false;
  // All of it: what the library holds already, no poll(2) of the socket tells of.
  for (;;) {
    const std::size_t before = in_.size();
    in_.resize(before + kPiece);
    ERR_clear_error();
    errno = 0;
    const int got = SSL_read(session_.get(), in_.data() + before, static_cast<int>(kPiece));
    in_.resize(before + static_cast<std::size_t>(std::max(got, 0)));
    if (got > 0) {
      taken += static_cast<std::size_t>(got);
      if (taken >= kMostAtOnce) {
        more_ = true;
        return true;
      }
      continue;
    }
    const auto again = wait_after(got, "receive from", false);
    if (!again.ok()) {
      return again.error().code() == EPIPE ? Result<bool>(taken > 0) : Result<bool>(again.error());
    }
    return true;
  }
}

Result<std::optional<Frame>> Link::next() {
  BEAM_TRY_ASSIGN(auto received, first_frame(std::string_view(in_).substr(taken_)));
  if (!received) {
    return std::optional<Frame>();
  }
  if (received->fds != 0) {
    return Error(EPROTO, "receive from " + peer_ + ": descriptors");
  }
  taken_ += received->bytes;
  return std::optional<Frame>(std::move(received->frame));
}

Result<Frame> Link::receive() {
  for (;;) {
    BEAM_TRY_ASSIGN(auto frame, next());
    if (frame.has_value()) {
      return std::move(*frame);
    }
    if (ended_) {
      return Error(EPIPE, peer_ + ": ended the connection");
    }
    if (!more_) {
      BEAM_TRY(wait_for(fd(), POLLIN, patience_ms_, peer_));
    }
    BEAM_TRY_ASSIGN(const bool more, fill());
    if (!more) {
      return Error(EPIPE, peer_ + ": ended the connection");
    }
  }
}

}  // namespace beam::runtime
