#include "migrate/stand_in.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace beam::migrate {
namespace {

constexpr std::size_t kStack = 1U << 18;

int run_work(void* argument) {
  return (*static_cast<const std::function<int()>*>(argument))() & 0xff;
}

}  // namespace

Result<> stand_in(interpose::Shared* shared, VirtualPid vpid, const std::string& what,
                  const std::function<int()>& work) {
  void* stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) {
    return Error::from_errno(what);
  }
  // As vfork(2) does: this thread sleeps until the child has ended. No handler of ours may run in it meanwhile.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::clone(run_work, static_cast<char*>(stack) + kStack,
                              CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, const_cast<std::function<int()>*>(&work));
  const int error = errno;
  int status = 0;
  pid_t waited = 0;
  if (child > 0) {
    do {
      waited = ::waitpid(child, &status, __WALL);
    } while (waited < 0 && errno == EINTR);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kStack);
  if (child < 0) {
    return Error(error, what);
  }
  if (waited != child || !WIFEXITED(status)) {
    return Error(ECHILD, what);
  }
  if (WEXITSTATUS(status) != 0) {
    return Error(WEXITSTATUS(status), what);
  }
  if (shared != nullptr && vpid != VirtualPid()) {
    shared->pids.alias(HostPid(child), vpid);
  }
  return success();
}

}  // namespace beam::migrate
