// The workstations that take in each other's sandboxes: $BEAM_HOME/cluster names them and holds the keys by which they
// know each other.
//
// A cluster has one authority, a key that signs the certificates of its workstations. Who has a certificate of the
// cluster's is one of it; the certificate's common name is the workstation's.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace beam::runtime {

struct Workstation {
  std::string name;
  std::string address;  // HOST:PORT of its daemon
};

struct Cluster {
  std::string directory;
  std::string self;  // the name of this one
  std::vector<Workstation> workstations;

  // ENOENT: the home belongs to no cluster.
  static Result<Cluster> open(const std::string& home);
  // Makes it, 0700; the keys are put beside it by Authority::issue().
  [[nodiscard]] Result<> save() const;
  // Null: no such workstation.
  [[nodiscard]] const Workstation* find(const std::string& name) const;

  // Files in `directory`, PEM.
  [[nodiscard]] std::string authority_file() const { return directory + "/authority.pem"; }
  [[nodiscard]] std::string certificate_file() const { return directory + "/certificate.pem"; }
  [[nodiscard]] std::string key_file() const { return directory + "/key.pem"; }
};

// `home`'s directory for it.
[[nodiscard]] std::string cluster_directory(const std::string& home);

// The key that makes workstations members of a cluster.
class Authority {
 public:
  // A new one.
  static Result<Authority> make();
  ~Authority();
  Authority(Authority&& other) noexcept;
  Authority& operator=(Authority&&) = delete;
  // A key and certificate for `cluster.self`, and the authority's own certificate, into the cluster's directory.
  [[nodiscard]] Result<> issue(const Cluster& cluster) const;

 private:
  struct Keys;
  explicit Authority(Keys* keys) : keys_(keys) {}
  Keys* keys_;
};

}  // namespace beam::runtime
