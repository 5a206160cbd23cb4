// Credentials across a freeze, for whoever may change them: user and group ids of each kind, supplementary groups,
// capabilities, secure bits, of the process and of one thread; and those that nobody changed.
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>

#include "guest.h"

static void check_ids(uid_t r, uid_t e, uid_t s, gid_t gr, gid_t ge, gid_t gs) {
  uid_t real, effective, saved;
  gid_t group_real, group_effective, group_saved;
  SYS(getresuid(&real, &effective, &saved));
  SYS(getresgid(&group_real, &group_effective, &group_saved));
  CHECK(real == r && effective == e && saved == s);
  CHECK(group_real == gr && group_effective == ge && group_saved == gs);
}

static struct __user_cap_data_struct sets[2];
static void read_sets(struct __user_cap_data_struct* to) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  SYS(syscall(SYS_capget, &header, to));
}

static void at_fence(struct gate* ready, struct gate* go) {
  read_sets(sets);
  gate_open(ready);
  gate_wait(go);
  struct __user_cap_data_struct now[2];
  read_sets(now);
  CHECK_EQ(memcmp(now, sets, sizeof now), 0);
}

int main(void) {
  guest_begin();
  struct gate ready = gate_make(), go = gate_make();
  gid_t groups[64];
  int count = SYS(getgroups(64, groups));
  if (geteuid() != 0) {
    uid_t user = getuid();
    gid_t group = getgid();
    SYS(setresuid(user, user, user));
    SYS(setresgid(group, group, group));
    guest_fence();
    check_ids(user, user, user, group, group, group);
    CHECK_EQ(getgroups(64, groups), count);
    return guest_pass();
  }
  pid_t children[4];
  for (int which = 0; which < 4; ++which) {
    children[which] = guest_fork();
    if (children[which] != 0) {
      continue;
    }
    if (which == 0) {
      gid_t some[] = {4001, 4002, 4003};
      SYS(setgroups(3, some));
      SYS(setresgid(3001, 3002, 3003));
      SYS(setresuid(2001, 2002, 2003));
      at_fence(&ready, &go);
      check_ids(2001, 2002, 2003, 3001, 3002, 3003);
      gid_t now[8];
      CHECK_EQ(getgroups(8, now), 3);
      CHECK(now[0] == 4001 && now[1] == 4002 && now[2] == 4003);
      SYS(seteuid(2003));
    } else if (which == 1) {
      SYS(seteuid(1234));
      at_fence(&ready, &go);
      check_ids(0, 1234, 0, getgid(), getegid(), getegid());
      SYS(seteuid(0));
    } else if (which == 2) {
      SYS(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0));
      SYS(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_KEEP_CAPS));
      SYS(setresuid(999, 999, 999));
      struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
      struct __user_cap_data_struct few[2] = {{1U << CAP_KILL, 1U << CAP_KILL | 1U << CAP_CHOWN, 1U << CAP_CHOWN},
                                              {0, 0, 0}};
      SYS(syscall(SYS_capset, &header, few));
      SYS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
      at_fence(&ready, &go);
      CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NOROOT | SECBIT_KEEP_CAPS);
      CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_TIME), 0);
      CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 1);
      CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
    } else {
      at_fence(&ready, &go);
      check_ids(0, 0, 0, getgid(), getgid(), getgid());
      CHECK_EQ(getgroups(64, groups), count);
    }
    _exit(0);
  }
  for (int i = 0; i < 4; ++i) {
    gate_wait(&ready);
  }
  guest_fence();
  for (int i = 0; i < 4; ++i) {
    gate_open(&go);
  }
  for (int i = 0; i < 4; ++i) {
    REAP(children[i]);
  }
  return guest_pass();
}
