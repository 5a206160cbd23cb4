// Calls with nothing to translate: they carry no name of a process, or one that the kernel resolves for the caller
// itself.
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

#define ALLOW(name)   \
  AllowedCall {       \
    SYS_##name, #name \
  }

const ListRegistration kMemory{
    ALLOW(mmap),       ALLOW(mprotect),         ALLOW(munmap),           ALLOW(brk),
    ALLOW(msync),      ALLOW(mincore),          ALLOW(remap_file_pages), ALLOW(pkey_alloc),
    ALLOW(pkey_free),  ALLOW(get_mempolicy),    ALLOW(set_mempolicy),    ALLOW(set_mempolicy_home_node),
    ALLOW(membarrier), ALLOW(map_shadow_stack), ALLOW(process_mrelease),
};

const ListRegistration kDescriptors{
    ALLOW(read),
    ALLOW(write),
    ALLOW(close),
    ALLOW(lseek),
    ALLOW(pread64),
    ALLOW(pwrite64),
    ALLOW(readv),
    ALLOW(writev),
    ALLOW(preadv),
    ALLOW(pwritev),
    ALLOW(preadv2),
    ALLOW(pwritev2),
    ALLOW(fstat),
    ALLOW(poll),
    ALLOW(ppoll),
    ALLOW(select),
    ALLOW(pselect6),
    ALLOW(epoll_create),
    ALLOW(epoll_create1),
    ALLOW(epoll_ctl),
    ALLOW(epoll_wait),
    ALLOW(epoll_pwait),
    ALLOW(epoll_pwait2),
    ALLOW(pipe),
    ALLOW(pipe2),
    ALLOW(dup),
    ALLOW(dup2),
    ALLOW(dup3),
    ALLOW(sendfile),
    ALLOW(splice),
    ALLOW(tee),
    ALLOW(vmsplice),
    ALLOW(copy_file_range),
    ALLOW(flock),
    ALLOW(fsync),
    ALLOW(fdatasync),
    ALLOW(sync_file_range),
    ALLOW(ftruncate),
    ALLOW(fallocate),
    ALLOW(fadvise64),
    ALLOW(readahead),
    ALLOW(fgetxattr),
    ALLOW(flistxattr),
    ALLOW(getdents),
    ALLOW(getdents64),
    ALLOW(fchdir),
    ALLOW(close_range),
    ALLOW(eventfd),
    ALLOW(eventfd2),
    ALLOW(timerfd_create),
    ALLOW(timerfd_gettime),
    ALLOW(inotify_init),
    ALLOW(inotify_init1),
    ALLOW(inotify_rm_watch),
    ALLOW(memfd_create),
    ALLOW(io_setup),
    ALLOW(io_destroy),
    ALLOW(io_getevents),
    ALLOW(io_submit),
    ALLOW(io_cancel),
    ALLOW(io_pgetevents),
    ALLOW(syncfs),
    ALLOW(cachestat),
};

// Of whole file systems.
const ListRegistration kPaths{
    ALLOW(sync),
    ALLOW(ustat),
    ALLOW(sysfs),
};

const ListRegistration kSockets{
    ALLOW(shutdown),
    // Those that are trapped where it is needed (message_traps.h).
    ALLOW(recvmsg),
    ALLOW(recvmmsg),
};

const ListRegistration kSignalsAndTime{
    ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn),     ALLOW(rt_sigpending), ALLOW(rt_sigsuspend),
    ALLOW(sigaltstack),  ALLOW(pause),          ALLOW(nanosleep),        ALLOW(alarm),         ALLOW(getitimer),
    ALLOW(setitimer),    ALLOW(timer_gettime),  ALLOW(timer_getoverrun), ALLOW(timer_delete),  ALLOW(gettimeofday),
    ALLOW(time),         ALLOW(times),          ALLOW(restart_syscall),  ALLOW(adjtimex),      ALLOW(clock_adjtime),
};

const ListRegistration kProcess{
    ALLOW(exit),
    ALLOW(exit_group),
    ALLOW(sched_yield),
    ALLOW(getcpu),
    ALLOW(getrusage),
    ALLOW(getrlimit),
    ALLOW(setrlimit),
    ALLOW(getuid),
    ALLOW(geteuid),
    ALLOW(getgid),
    ALLOW(getegid),
    ALLOW(getresuid),
    ALLOW(getresgid),
    ALLOW(getgroups),
    ALLOW(personality),
    ALLOW(arch_prctl),
    ALLOW(modify_ldt),
    ALLOW(rseq),
    ALLOW(set_robust_list),
    ALLOW(futex_wake),
    ALLOW(futex_requeue),
    ALLOW(getrandom),
    ALLOW(sched_get_priority_max),
    ALLOW(sched_get_priority_min),
    ALLOW(lsm_get_self_attr),
    ALLOW(lsm_list_modules),
};

const ListRegistration kIpc{
    ALLOW(shmdt), ALLOW(mq_unlink), ALLOW(mq_timedsend), ALLOW(mq_timedreceive), ALLOW(mq_getsetattr),
};

#undef ALLOW

}  // namespace
}  // namespace beam::interpose
