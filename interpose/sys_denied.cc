// Calls that no sandbox gets, each with the errno that a kernel without the feature or the permission gives, so that
// programs fall back as they do there.
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>

#include <cerrno>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

#define DENY(name, error, reason)    \
  DeniedCall {                       \
    SYS_##name, #name, error, reason \
  }
// The kernel refuses it to everybody without a capability, and says what is wrong with the arguments first. Not for
// calls with a path: the kernel would look at the workstation's.
#define DENY_ROOT(name, error, reason)     \
  DeniedCall {                             \
    SYS_##name, #name, error, reason, true \
  }

const ListRegistration kDenied{
    DENY(ptrace, EPERM, "the supervisor is the tracer; nested tracing is refused"),
    DENY(io_uring_setup, ENOSYS, "its operations would go round the views"),
    DENY(io_uring_enter, ENOSYS, "its operations would go round the views"),
    DENY(io_uring_register, ENOSYS, "its operations would go round the views"),
    DENY(userfaultfd, ENOSYS, "its state cannot be frozen"),
    DENY(memfd_secret, ENOSYS, "its memory cannot be frozen"),
    DENY(fanotify_init, ENOSYS, "its state cannot be frozen"),
    DENY(fanotify_mark, ENOSYS, "its state cannot be frozen"),
    DENY(bpf, EPERM, "reaches the whole workstation"),
    DENY(perf_event_open, ENOSYS, "reaches the whole workstation"),
    DENY(add_key, ENOSYS, "keyrings are the workstation's"),
    DENY(request_key, ENOSYS, "keyrings are the workstation's"),
    DENY(keyctl, ENOSYS, "keyrings are the workstation's"),

    DENY(mount, EPERM, "views are kept in user space"),
    DENY(umount2, EPERM, "views are kept in user space"),
    DENY(pivot_root, EPERM, "views are kept in user space"),
    DENY(open_tree, EPERM, "views are kept in user space"),
    DENY(open_tree_attr, EPERM, "views are kept in user space"),
    DENY(move_mount, EPERM, "views are kept in user space"),
    DENY_ROOT(fsopen, EPERM, "views are kept in user space"),
    DENY_ROOT(fsconfig, EPERM, "views are kept in user space"),
    DENY_ROOT(fsmount, EPERM, "views are kept in user space"),
    DENY(fspick, EPERM, "views are kept in user space"),
    DENY(mount_setattr, EPERM, "views are kept in user space"),
    DENY(open_by_handle_at, EPERM, "goes round every view of paths"),
    DENY(lsm_set_self_attr, EPERM, "the jail is the supervisor's"),
    DENY(acct, EPERM, "the workstation's administration"),
    DENY_ROOT(settimeofday, EPERM, "the workstation's administration"),

    DENY(swapon, EPERM, "the workstation's administration"),
    DENY(swapoff, EPERM, "the workstation's administration"),
    DENY_ROOT(reboot, EPERM, "the workstation's administration"),
    DENY_ROOT(kexec_load, EPERM, "the workstation's administration"),
    DENY_ROOT(kexec_file_load, EPERM, "the workstation's administration"),
    DENY_ROOT(init_module, EPERM, "the workstation's administration"),
    DENY_ROOT(finit_module, EPERM, "the workstation's administration"),
    DENY_ROOT(delete_module, EPERM, "the workstation's administration"),
    DENY(quotactl, EPERM, "the workstation's administration"),
    DENY_ROOT(quotactl_fd, EPERM, "the workstation's administration"),
    DENY(syslog, EPERM, "the workstation's administration"),
    DENY_ROOT(vhangup, EPERM, "the workstation's administration"),
    DENY_ROOT(iopl, EPERM, "reaches the hardware"),
    DENY_ROOT(ioperm, EPERM, "reaches the hardware"),
    // Numbers that Linux 6.x keeps without a call behind them, or compiles out everywhere.
    DENY(uretprobe, ENOSYS, "the kernel's own trampoline calls it"),
    DENY(uselib, ENOSYS, "not in this kernel's ABI any more"),
    DENY(_sysctl, ENOSYS, "not in this kernel's ABI any more"),
    DENY(create_module, ENOSYS, "not in this kernel's ABI any more"),
    DENY(get_kernel_syms, ENOSYS, "not in this kernel's ABI any more"),
    DENY(query_module, ENOSYS, "not in this kernel's ABI any more"),
    DENY(nfsservctl, ENOSYS, "not in this kernel's ABI any more"),
    DENY(getpmsg, ENOSYS, "never was in this kernel's ABI"),
    DENY(putpmsg, ENOSYS, "never was in this kernel's ABI"),
    DENY(afs_syscall, ENOSYS, "never was in this kernel's ABI"),
    DENY(tuxcall, ENOSYS, "never was in this kernel's ABI"),
    DENY(security, ENOSYS, "never was in this kernel's ABI"),
    DENY(set_thread_area, ENOSYS, "of 32-bit programs only"),
    DENY(get_thread_area, ENOSYS, "of 32-bit programs only"),
    DENY(lookup_dcookie, ENOSYS, "not in this kernel's ABI any more"),
    DENY(epoll_ctl_old, ENOSYS, "never was in this kernel's ABI"),
    DENY(epoll_wait_old, ENOSYS, "never was in this kernel's ABI"),
    DENY(vserver, ENOSYS, "never was in this kernel's ABI"),
};

#undef DENY
#undef DENY_ROOT

// unshare(2) of what threads share is theirs; of namespaces it is not.
constexpr std::uint64_t kNamespaces = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 |
                                      0x00020000 | 0x00000080;  // CLONE_NEW*
constexpr std::uint64_t kOfOneThread = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
constexpr std::uint64_t kUnshared = kNamespaces | kOfOneThread | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
BEAM_SYSCALL_WHEN(unshare, Strategy::kAnswer, (TrapWhen{{is_not(0, 0, kNamespaces)}}), std::uint64_t flags) {
  if ((flags & ~kUnshared) != 0) {
    return Answer::error(EINVAL);
  }
  const bool alone = call.caller.process->threads == 1;
  return Answer::error((flags & (CLONE_NEWUSER | kOfOneThread)) != 0 && !alone ? EINVAL : EPERM);
}

// Somebody's own user namespaces outside would open to a descriptor of theirs, so it is not left to the kernel.
BEAM_SYSCALL_DECLARE_(setns, Strategy::kAnswer, TrapWhen{}, Support::kRefused, "views are kept in user space",
                      GuestFd fd, int type) {
  constexpr long kNamespaceFiles = 0x6e736673;  // NSFS_MAGIC, linux/magic.h
  int error = 0;
  const UniqueFd copy = call.descriptor(fd, error);
  struct statfs system {};
  if (!copy || ::fstatfs(copy.get(), &system) != 0) {
    return Answer::error(copy ? errno : -error);
  }
  if (system.f_type == kNamespaceFiles) {
    const int own = ::ioctl(copy.get(), NS_GET_NSTYPE);
    return Answer::error(type != 0 && own != type ? EINVAL : EPERM);
  }
  const bool known = type != 0 && (static_cast<std::uint64_t>(type) & ~kNamespaces) == 0;
  return Answer::error(known && pid_of_pidfd(copy.get()).ok() ? EPERM : EINVAL);
}

}  // namespace
}  // namespace beam::interpose
