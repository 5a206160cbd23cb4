// The part of a move that the workstation does which a sandbox leaves.
//
// Every step blocks, for as long as the link's patience lasts, and may be taken on any thread, one at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/cluster.h"
#include "runtime/image_delta.h"
#include "runtime/link.h"
#include "runtime/link_messages.h"

namespace beam::runtime {

class MoveOut {
 public:
  // The other side has agreed to take it. `home`: where the decision is kept.
  static Result<MoveOut> begin(const Cluster& cluster, const Workstation& target, const std::string& home, Offer offer);

  [[nodiscard]] const std::string& target() const { return link_.peer(); }
  // Tells the other side what is known only once the sandbox stands still.
  void set_streams(std::uint8_t streams) { offer_.streams = streams; }
  // While the sandbox runs on: sends an earlier image of it, of which later ones need not be sent again what they have
  // in common with it. `image` has to stay until those have been sent. How many bytes went over the link.
  Result<std::uint64_t> send_ahead(const std::string& image);
  // Sends the image, and the log files that go with it; returns once the sandbox is thawed and held there.
  Result<> transfer(const std::string& image, const std::vector<std::string>& logs);
  // From now on it runs there, whatever happens. Fails where it has been decided otherwise.
  Result<> decide();
  // It stays. Where `decide` has been called, that has to have failed.
  void drop();
  // Lets it run there. An error: what it has come to there is not known here, but it never runs here again.
  Result<> finish();
  Link take_link() { return std::move(link_); }

 private:
  MoveOut(Link link, std::string home, Offer offer)
      : link_(std::move(link)), home_(std::move(home)), offer_(std::move(offer)) {}
  Result<> send_image(const std::string& directory, const std::string& prefix);
  Result<> send_file(const std::string& path, const std::string& name);
  // What it has in common with `base`, the file of an earlier image, is not sent.
  Result<> send_changes(const std::string& path, const std::string& name, const std::string& base);
  Result<> send_bytes(std::string_view bytes);

  Link link_;
  std::string home_;
  Offer offer_;
  // The earlier image that the other side has, here and there.
  std::string base_;
  std::string base_prefix_;
  unsigned rounds_ = 0;
  std::uint64_t sent_ = 0;
};

}  // namespace beam::runtime
