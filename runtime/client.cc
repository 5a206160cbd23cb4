#include "runtime/client.h"

#include "runtime/local_socket.h"

namespace beam::runtime {

Result<Channel> connect(const RecordStore& store, const SandboxRecord& record) {
  if (!store.running(record)) {
    return Error(ESRCH, record.name);
  }
  auto socket = connect_socket(record.socket);
  if (!socket.ok()) {
    // It may have ended between the two looks.
    if (!store.running(record)) {
      return Error(ESRCH, record.name);
    }
    return std::move(socket).error().context(record.name);
  }
  return Channel(std::move(socket).value());
}

}  // namespace beam::runtime
