// Calls that need a capability, made by an ordinary user: refused as natively, arguments first where the kernel looks
// at them first. Root is told only what it may not do.
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "calls.h"

int main(void) {
  transcript_begin();
  if (getuid() == 0) {
    printf("root\n");
    return 0;
  }
  struct timespec time = {1, 0}, wrong = {1, -1};
  struct timeval value = {1, 0};
  T(mount("none", "/tmp", "tmpfs", 0, NULL));
  T(umount2("/tmp", 0));
  T(syscall(SYS_pivot_root, "/", "/"));
  T(syscall(SYS_move_mount, -1, "", -1, "", 0));
  T(syscall(SYS_fsopen, "tmpfs", 0));
  T(syscall(SYS_fsopen, BAD, 0));
  T(syscall(SYS_fsconfig, -1, 0, "", "", 0));
  T(syscall(SYS_fsmount, -1, 0, 0));
  T(syscall(SYS_fspick, -1, "/", 0));
  T(chroot("/"));
  T(chroot("/nowhere/at/all"));
  T(chroot(BAD));
  T(acct(NULL));
  T(syscall(SYS_settimeofday, &value, NONE));
  T(syscall(SYS_settimeofday, BAD, NONE));
  T(syscall(SYS_settimeofday, NONE, NONE));
  T(syscall(SYS_clock_settime, CLOCK_REALTIME, &time));
  T(syscall(SYS_clock_settime, CLOCK_REALTIME, &wrong));
  T(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &time));
  T(syscall(SYS_clock_settime, 99, &time));
  T(syscall(SYS_swapon, "/nowhere", 0));
  T(syscall(SYS_swapoff, "/nowhere"));
  T(syscall(SYS_reboot, 0, 0, 0, 0));
  T(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0));
  T(syscall(SYS_kexec_load, 0, 0, NONE, 0));
  T(syscall(SYS_init_module, NONE, 0, ""));
  T(syscall(SYS_finit_module, -1, "", 0));
  T(syscall(SYS_delete_module, "none", 0));
  T(syscall(SYS_quotactl_fd, -1, 0, 0, NONE));
  T(syscall(SYS_vhangup));
  T(syscall(SYS_iopl, 0));
  T(syscall(SYS_iopl, 3));
  T(syscall(SYS_iopl, 4));
  T(syscall(SYS_ioperm, 0, 1, 0));
  T(syscall(SYS_ioperm, 0, 1, 1));
  T(syscall(SYS_ioperm, 65536, 1, 1));
  T(syscall(SYS_setdomainname, "x", 1));
  T(syscall(SYS_open_by_handle_at, -1, NONE, 0) == -1);
  T(syscall(SYS_uselib, "/lib"));
  T(syscall(SYS_nfsservctl, 0));
  T(syscall(SYS_create_module, "x", 1));
  T(syscall(SYS_afs_syscall));
  T(syscall(SYS_vserver));
  T(syscall(SYS_getpmsg));
  T(setuid(0));
  T(setgid(0));
  T(seteuid(0));
  T(setresuid(0, 0, 0));
  T(setreuid(0, -1));
  T(setgroups(1, (gid_t[]){0}));
  T(setfsuid(0) >= 0);
  T(setpriority(0, 0, -5));
  T(nice(-5));
  return 0;
}
