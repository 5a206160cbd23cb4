// A store of names: keys with values, shared by all supervisors of a group wherever they run. What the name space keeps
// in it, and under which keys, is written in group.h; a store knows nothing of that.
//
// Holds: a transaction is done as a whole or not at all, and in one order for all who look. An entry with a lease is
// there as long as the lease's holder lives: whatever ends the holder, nobody finds its entries afterwards. Errors name
// the store. Safe to use from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace beam::ns {

using LeaseId = std::int64_t;
inline constexpr LeaseId kNoLease = 0;

struct Entry {
  std::string key;
  std::string value;
  std::int64_t revision = 0;  // of the transaction that wrote it: grows with each, over the whole store
};

class Lease {
 public:
  virtual ~Lease() = default;
  [[nodiscard]] virtual LeaseId id() const = 0;
};

struct Transaction {
  struct Condition {
    std::string key;
    std::int64_t revision = 0;  // 0: the key is not there
  };
  struct Put {
    std::string key;
    std::string value;
    LeaseId lease = kNoLease;
  };
  std::vector<Condition> when;
  std::vector<Put> puts;
  std::vector<std::string> removals;
};

class Store {
 public:
  virtual ~Store() = default;
  [[nodiscard]] virtual Result<std::optional<Entry>> get(const std::string& key) = 0;
  // All whose keys begin with `prefix`, by key.
  [[nodiscard]] virtual Result<std::vector<Entry>> list(const std::string& prefix) = 0;
  // False, and nothing done, when a condition doesn't hold.
  [[nodiscard]] virtual Result<bool> commit(const Transaction& transaction) = 0;
  // Held until the object goes, or its process.
  [[nodiscard]] virtual Result<std::unique_ptr<Lease>> grant() = 0;
};

// The store of one user on one workstation: an SQLite file `names.db` in `directory`, with no daemon. Every function
// waits for other processes' transactions, some tens of microseconds each.
[[nodiscard]] Result<std::shared_ptr<Store>> open_embedded_store(const std::string& directory);

}  // namespace beam::ns
