// The paths of UNIX sockets of a mount view. A socket of the private layer lies deeper than an address has room for, so
// it is bound by a short path of this process's making, one for each socket; and connected to by a short link.
//
// Owns: the private directory of the links. Safe to use from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/result.h"

namespace beam::interpose {

class SocketNames {
 public:
  // `place`: where the directory of the links is made; short.
  static Result<std::unique_ptr<SocketNames>> create(const std::string& place);
  ~SocketNames();
  SocketNames(const SocketNames&) = delete;
  SocketNames& operator=(const SocketNames&) = delete;

  // Binds it to `name` in `directory`. 0, or an errno value. `shown`: the path as the program gave it.
  [[nodiscard]] int bind(int socket, int directory, const char* name, const std::string& shown);
  struct Bound {
    std::string shown;
    std::string place;  // of its file when it was bound: the workstation's path
  };
  // A socket that the kernel says is bound to `bound`.
  [[nodiscard]] std::optional<Bound> find(const std::string& bound) const;

  // A link to `target`, for as long as it is needed.
  class Alias {
   public:
    explicit Alias(std::string path) : path_(std::move(path)) {}
    ~Alias();
    Alias(const Alias&) = delete;
    Alias& operator=(const Alias&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

   private:
    std::string path_;
  };
  // Null when it can't be made.
  [[nodiscard]] std::unique_ptr<Alias> alias(const std::string& target);

 private:
  explicit SocketNames(std::string directory) : directory_(std::move(directory)) {}

  const std::string directory_;
  mutable std::mutex mutex_;
  unsigned long counter_ = 0;
  std::unordered_map<std::string, Bound> bound_;
};

}  // namespace beam::interpose
