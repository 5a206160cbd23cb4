// System calls in a stopped task of the sandbox, made by the freezer and the restorer through the agent's gadget: one
// at a time (Remote), or many for the price of one stop (Batch).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "interpose/agent/layout.h"
#include "interpose/task.h"
#include "interpose/tracee.h"

namespace beam::migrate {

class Remote {
 public:
  explicit Remote(const interpose::Task& task) : task_(task), tracee_(task.tid) {}

  // The result of the call. An error of the call names `what`; ESRCH when the task has died.
  Result<std::uint64_t> call(const char* what, long number, std::uint64_t a = 0, std::uint64_t b = 0,
                             std::uint64_t c = 0, std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0);
  // The same, with the negative errno as the result.
  Result<std::int64_t> raw_call(long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                                std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0);

  [[nodiscard]] const interpose::Task& task() const { return task_; }
  [[nodiscard]] interpose::StoppedTracee& tracee() { return tracee_; }
  [[nodiscard]] interpose::GuestMemory memory() const { return interpose::GuestMemory(task_.tid); }

  // Memory for arguments: `size` bytes that calls may read and write.
  Result<> map_scratch(std::size_t size);
  Result<> unmap_scratch();
  // Scratch memory that is there already.
  void use_scratch(std::uint64_t address, std::size_t size) { scratch_ = address, scratch_size_ = size; }
  [[nodiscard]] std::uint64_t scratch() const { return scratch_; }
  [[nodiscard]] std::size_t scratch_size() const { return scratch_size_; }
  // Puts an object into the scratch memory, at `offset`; its address.
  template <typename T>
  Result<std::uint64_t> put(const T& value, std::size_t offset = 0) {
    return put_bytes(&value, sizeof value, offset);
  }
  Result<std::uint64_t> put_bytes(const void* bytes, std::size_t size, std::size_t offset = 0);
  template <typename T>
  Result<T> get(std::size_t offset = 0) {
    T value{};
    BEAM_TRY(get_bytes(&value, sizeof value, offset));
    return value;
  }
  Result<> get_bytes(void* bytes, std::size_t size, std::size_t offset = 0);

  [[nodiscard]] std::string name() const;

 private:
  const interpose::Task& task_;
  interpose::StoppedTracee tracee_;
  std::uint64_t scratch_ = 0;
  std::size_t scratch_size_ = 0;
};

// Calls that are made one after the other without a stop in between; none of them may block. Their memory is the
// remote's scratch memory, all of it: arguments from its start on, the calls themselves at its end.
class Batch {
 public:
  explicit Batch(Remote& remote) : remote_(&remote) {}

  // An object for calls to read or write; its address. Its value after run(): get().
  template <typename T>
  std::uint64_t put(const T& value) {
    return put_bytes(&value, sizeof value);
  }
  std::uint64_t put_bytes(const void* bytes, std::size_t size);
  template <typename T>
  [[nodiscard]] T get(std::uint64_t address) const {
    T value{};
    copy_out(&value, sizeof value, address);
    return value;
  }
  // A call whose failure fails the batch, by an error that names `what`; null: it may fail. Its number.
  std::size_t add(const char* what, long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                  std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0);
  // Whether there is room for another call and `size` bytes.
  [[nodiscard]] bool has_room(std::size_t size) const;
  // Makes the calls. Afterwards the batch is empty but for its results.
  Result<> run();
  [[nodiscard]] std::int64_t result(std::size_t call) const { return results_.at(call); }

 private:
  void copy_out(void* bytes, std::size_t size, std::uint64_t address) const;
  Remote* remote_;
  std::vector<std::byte> memory_;
  std::vector<BeamAgentCall> calls_;
  std::vector<const char*> names_;
  std::vector<std::int64_t> results_;
};

}  // namespace beam::migrate
