// Shared memory, memfds and deleted files: made in the supervisor, filled from the image, and given back what only
// allows for that when all else is in place: seals and permissions.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "migrate/image_path.h"
#include "migrate/nameless.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

std::string own_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace

Result<> Restorer::make_inodes() {
  for (const ProcessState& process : state_.processes) {
    if (process.deleted_executable) {
      executables_[*process.deleted_executable] = "";
    }
  }
  for (std::size_t i = 0; i < state_.shared_memory.size(); ++i) {
    auto made = make_inode(i);
    if (!made.ok()) {
      return std::move(made).error().context("thaw " + std::string(to_string(state_.shared_memory[i].kind)) + " " +
                                             state_.shared_memory[i].name);
    }
  }
  return success();
}

Result<> Restorer::make_inode(std::size_t index) {
  const SharedMemoryState& state = state_.shared_memory[index];
  UniqueFd fd;
  const auto executed = executables_.find(static_cast<std::uint32_t>(index));
  if (executed != executables_.end()) {
    BEAM_TRY_ASSIGN(auto named, named_file(from_image_path(tracer_.shared(), state.name)));
    fd = std::move(named.fd);
    executed->second = std::move(named.path);
  } else if (state.kind == InodeKind::kDeletedFile) {
    BEAM_TRY_ASSIGN(fd, nameless_file(from_image_path(tracer_.shared(), state.name), state.linkable));
  } else {
    const char* name = state.kind == InodeKind::kMemfd ? state.name.c_str() : "beam-shared";
    fd.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) {
      return Error::from_errno("make shared memory");
    }
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(state.size)) != 0) {
    return Error::from_errno("make it of " + std::to_string(state.size) + " bytes");
  }
  BEAM_TRY(fill_inode(state, fd.get()));
  UniqueFd read_only(::open(own_path(fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!read_only) {
    return Error::from_errno("open it");
  }
  if (executed != executables_.end()) {
    // What is executed must not be open for writing, in this process either.
    ::fchmod(read_only.get(), static_cast<mode_t>(state.mode) | S_IXUSR | S_IRUSR);
    fd.reset(::fcntl(read_only.get(), F_DUPFD_CLOEXEC, 3));
  }
  inodes_.push_back(std::move(fd));
  read_only_inodes_.push_back(std::move(read_only));
  return success();
}

Result<> Restorer::fill_inode(const SharedMemoryState& state, int fd) {
  if (state.pages.empty()) {
    return success();
  }
  BEAM_TRY_ASSIGN(const UniqueFd pages, image_.file(state.page_file));
  std::vector<char> buffer(1U << 20);
  for (const PageRun& run : state.pages) {
    const std::uint64_t size = std::min(run.size, state.size - run.address);
    for (std::uint64_t done = 0; done < size;) {
      const std::size_t want = std::min<std::uint64_t>(size - done, buffer.size());
      const ssize_t got = ::pread(pages.get(), buffer.data(), want, static_cast<off_t>(run.offset + done));
      if (got <= 0) {
        return Error(got < 0 ? errno : kDamaged, "read " + state.page_file);
      }
      const ssize_t put =
          ::pwrite(fd, buffer.data(), static_cast<std::size_t>(got), static_cast<off_t>(run.address + done));
      if (put != got) {
        return Error(put < 0 ? errno : ENOSPC, "fill it");
      }
      done += static_cast<std::uint64_t>(got);
    }
  }
  return success();
}

Result<> Restorer::seal_inodes() {
  for (std::size_t i = 0; i < inodes_.size(); ++i) {
    const SharedMemoryState& state = state_.shared_memory[i];
    const int fd = inodes_[i].get();
    if (state.kind == InodeKind::kDeletedFile) {
      const timespec modified{state.modified_ns / 1'000'000'000, state.modified_ns % 1'000'000'000};
      const timespec times[2] = {{0, UTIME_OMIT}, modified};
      for (const ExtendedAttribute& attribute : state.attributes) {
        if (::fsetxattr(fd, attribute.name.c_str(), attribute.value.data(), attribute.value.size(), 0) != 0) {
          return Error::from_errno("give " + state.name + " its attribute " + attribute.name + " back");
        }
      }
      ::futimens(fd, times);
    }
    // 0: of an older image, or nothing but mapped.
    if (state.kind != InodeKind::kAnonymous && state.mode != 0 && ::fchmod(fd, static_cast<mode_t>(state.mode)) != 0) {
      return Error::from_errno("give " + state.name + " its permissions back");
    }
    if (state.kind == InodeKind::kMemfd && state.seals != 0 && ::fcntl(fd, F_ADD_SEALS, state.seals) != 0) {
      return Error::from_errno("seal the memory file " + state.name);
    }
  }
  return success();
}

std::string Restorer::executable_of(const ProcessState& process) const {
  return process.deleted_executable ? executables_.at(*process.deleted_executable) : program_path(process.executable);
}

void Restorer::remove_executables() {
  for (auto& [index, path] : executables_) {
    if (!path.empty()) {
      ::unlink(path.c_str());
      path.clear();
    }
  }
}

}  // namespace beam::migrate
