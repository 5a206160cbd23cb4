#include "runtime/reach.h"

#include "runtime/client.h"

namespace beam::runtime {

std::optional<Reached> reach(const std::string& name, int& status, int no_such, int failed) {
  auto store = RecordStore::open();
  if (!store.ok()) {
    status = fail(failed, store.error().message());
    return std::nullopt;
  }
  auto record = find_sandbox(*store, name);
  if (!record.ok()) {
    status = fail_lookup(name, record.error(), no_such, failed);
    return std::nullopt;
  }
  auto channel = connect(*store, *record);
  if (!channel.ok()) {
    status = fail_connect(name, channel.error(), failed);
    return std::nullopt;
  }
  return Reached{std::move(*store), std::move(*record), std::move(*channel)};
}

}  // namespace beam::runtime
