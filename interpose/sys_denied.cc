// Calls that no sandbox gets, each with the errno that a kernel without the feature or the permission gives, so that
// programs fall back as they do there.
#include <cerrno>

#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

#define DENY(name, error, reason)    \
  DeniedCall {                       \
    SYS_##name, #name, error, reason \
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
    DENY(perf_event_open, EACCES, "reaches the whole workstation"),
    DENY(add_key, ENOSYS, "keyrings are the workstation's"),
    DENY(request_key, ENOSYS, "keyrings are the workstation's"),
    DENY(keyctl, ENOSYS, "keyrings are the workstation's"),
    DENY(setns, EPERM, "views are kept in user space"),
    DENY(mount, EPERM, "views are kept in user space"),
    DENY(umount2, EPERM, "views are kept in user space"),
    DENY(pivot_root, EPERM, "views are kept in user space"),
    DENY(open_tree, EPERM, "views are kept in user space"),
    DENY(open_tree_attr, EPERM, "views are kept in user space"),
    DENY(move_mount, EPERM, "views are kept in user space"),
    DENY(fsopen, EPERM, "views are kept in user space"),
    DENY(fsconfig, EPERM, "views are kept in user space"),
    DENY(fsmount, EPERM, "views are kept in user space"),
    DENY(fspick, EPERM, "views are kept in user space"),
    DENY(mount_setattr, EPERM, "views are kept in user space"),
    DENY(open_by_handle_at, EPERM, "goes round every view of paths"),
    DENY(lsm_set_self_attr, EPERM, "the jail is the supervisor's"),
    DENY(acct, EPERM, "the workstation's administration"),
    DENY(settimeofday, EPERM, "the workstation's administration"),
    DENY(clock_settime, EPERM, "the workstation's administration"),
    DENY(swapon, EPERM, "the workstation's administration"),
    DENY(swapoff, EPERM, "the workstation's administration"),
    DENY(reboot, EPERM, "the workstation's administration"),
    DENY(kexec_load, EPERM, "the workstation's administration"),
    DENY(kexec_file_load, EPERM, "the workstation's administration"),
    DENY(init_module, EPERM, "the workstation's administration"),
    DENY(finit_module, EPERM, "the workstation's administration"),
    DENY(delete_module, EPERM, "the workstation's administration"),
    DENY(quotactl, EPERM, "the workstation's administration"),
    DENY(quotactl_fd, EPERM, "the workstation's administration"),
    DENY(syslog, EPERM, "the workstation's administration"),
    DENY(vhangup, EPERM, "the workstation's administration"),
    DENY(iopl, EPERM, "reaches the hardware"),
    DENY(ioperm, EPERM, "reaches the hardware"),
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

// unshare(2) of what threads share is theirs; of namespaces it is not.
constexpr std::uint64_t kNamespaces = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 |
                                      0x00020000 | 0x00000080;  // CLONE_NEW*
BEAM_SYSCALL_WHEN(unshare, Strategy::kAnswer, (TrapWhen{{is_not(0, 0, kNamespaces)}}), std::uint64_t flags) {
  (void)flags;
  return Answer::error(EPERM);
}

}  // namespace
}  // namespace beam::interpose
