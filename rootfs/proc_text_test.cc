#include "rootfs/proc_text.h"

#include <gmock/gmock.h>

namespace beam::rootfs {
namespace {

// 1000 + n outside is n inside, for n below 100.
VirtualPid inside(HostPid host) {
  return host.value() >= 1000 && host.value() < 1100 ? VirtualPid(host.value() - 1000) : VirtualPid();
}

ProcTask task(int id, int process, int parent) {
  ProcTask facts;
  facts.id = VirtualPid(id);
  facts.process = VirtualPid(process);
  facts.parent = VirtualPid(parent);
  return facts;
}

TEST(ProcText, StatKeepsAnyNameAndEveryOtherField) {
  EXPECT_EQ(proc_stat_text("1005 (a) b (c) S 1002 1005 1002 34816 1007 4194304 100 0\n", task(5, 5, 2), inside),
            "5 (a) b (c) S 2 5 2 34816 7 4194304 100 0\n");
}

TEST(ProcText, StatShowsNobodyOutside) {
  EXPECT_EQ(proc_stat_text("1005 (sh) S 77 78 79 0 -1 4194304 1005\n", task(5, 5, 0), inside),
            "5 (sh) S 0 0 0 0 -1 4194304 1005\n");
}

TEST(ProcText, StatShowsAnotherState) {
  ProcTask facts = task(5, 5, 1);
  facts.state = 'T';
  EXPECT_EQ(proc_stat_text("1005 (sh) t 77 1005 1005 0 -1 0\n", facts, inside), "5 (sh) T 1 5 5 0 -1 0\n");
}

TEST(ProcText, StateOfBothForms) {
  EXPECT_EQ(proc_state("1005 (a) R) t 77 1005\n"), 't');
  EXPECT_EQ(proc_state("Name:\tState:\nUmask:\t0022\nState:\tS (sleeping)\n"), 'S');
  EXPECT_EQ(proc_state(""), '\0');
  EXPECT_EQ(proc_state("x)"), '\0');
}

TEST(ProcText, StatOfAnUnknownFormGivesNothingAway) {
  EXPECT_EQ(proc_stat_text("1005 (sh) S 77\n", task(5, 5, 1), inside), "");
  EXPECT_EQ(proc_stat_text("", task(5, 5, 1), inside), "");
}

TEST(ProcText, StatusTranslatesEveryIdAndHidesTheSupervisor) {
  ProcTask facts = task(6, 5, 1);
  facts.state = 'R';
  const std::string host =
      "Name:\tPid:\\n\nState:\tt (tracing stop)\nTgid:\t1005\nNgid:\t0\nPid:\t1006\nPPid:\t77\nTracerPid:\t78\n"
      "Uid:\t1000\t1000\t1000\t1000\nNStgid:\t1005\t5\nNSpid:\t1006\t6\nNSpgid:\t1002\t2\nNSsid:\t900\t9\nVmPeak:\t    "
      "1005 kB\n"
      "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
  EXPECT_EQ(proc_status_text(host, facts, inside),
            "Name:\tPid:\\n\nState:\tR (running)\nTgid:\t5\nNgid:\t0\nPid:\t6\nPPid:\t1\nTracerPid:\t0\n"
            "Uid:\t1000\t1000\t1000\t1000\nNStgid:\t5\nNSpid:\t6\nNSpgid:\t2\nNSsid:\t0\nVmPeak:\t    1005 kB\n"
            "NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n");
}

TEST(ProcText, ChildrenLeavesOutThoseOutside) {
  EXPECT_EQ(proc_children_text("1003 77 1004 ", {VirtualPid(9)}, inside), "3 4 9 ");
  EXPECT_EQ(proc_children_text("", {}, inside), "");
}

TEST(ProcText, SchedNamesTheTask) {
  EXPECT_EQ(proc_sched_text("a (1, b) (1005, #threads: 2)\n---\nx : 1005\n", task(5, 5, 1)),
            "a (1, b) (5, #threads: 2)\n---\nx : 1005\n");
  EXPECT_EQ(proc_sched_text("1005\n", task(5, 5, 1)), "");
}

TEST(ProcText, TimersNameReceivers) {
  EXPECT_EQ(proc_timers_text("ID: 0\nsignal: 14/0000000000001005\nnotify: signal/pid.1005\nClockID: 0\n"
                             "ID: 1\nsignal: 10/0\nnotify: thread/tid.1006\nClockID: 1\n",
                             inside),
            "ID: 0\nsignal: 14/0000000000001005\nnotify: signal/pid.5\nClockID: 0\n"
            "ID: 1\nsignal: 10/0\nnotify: thread/tid.6\nClockID: 1\n");
}

TEST(ProcText, FdinfoOfPidfdsAndLocks) {
  EXPECT_EQ(proc_fdinfo_text("pos:\t1005\nflags:\t02\nPid:\t1005\nNSpid:\t1005\t5\n", inside),
            "pos:\t1005\nflags:\t02\nPid:\t5\nNSpid:\t5\n");
  EXPECT_EQ(proc_fdinfo_text("Pid:\t-1\nNSpid:\t-1\n", inside), "Pid:\t-1\nNSpid:\t-1\n");
  EXPECT_EQ(proc_fdinfo_text("Pid:\t77\nNSpid:\t77\n", inside), "Pid:\t0\nNSpid:\t0\n");
  EXPECT_EQ(proc_fdinfo_text("pos:\t0\nlock:\t1: POSIX  ADVISORY  WRITE 1005 fe:00:1005 0 EOF\n", inside),
            "pos:\t0\nlock:\t1: POSIX  ADVISORY  WRITE 5 fe:00:1005 0 EOF\n");
}

TEST(ProcText, LocksOfTheSandboxOnly) {
  EXPECT_EQ(proc_locks_text("1: FLOCK  ADVISORY  READ 77 fe:00:1 0 EOF\n"
                            "2: POSIX  ADVISORY  WRITE 1005 fe:00:2 0 EOF\n"
                            "2: -> POSIX  ADVISORY  WRITE 1006 fe:00:2 0 EOF\n"
                            "3: OFDLCK ADVISORY  READ -1 fe:00:3 0 0\n",
                            inside),
            "2: POSIX  ADVISORY  WRITE 5 fe:00:2 0 EOF\n"
            "2: -> POSIX  ADVISORY  WRITE 6 fe:00:2 0 EOF\n"
            "3: OFDLCK ADVISORY  READ -1 fe:00:3 0 0\n");
}

TEST(ProcText, SysvipcKeepsItsColumns) {
  EXPECT_EQ(proc_sysvipc_text("       key      shmid  cpid  lpid nattch\n"
                              "      1005       1005  1005    77      2\n",
                              inside),
            "       key      shmid  cpid  lpid nattch\n"
            "      1005       1005     5     0      2\n");
  const auto bigger = [](HostPid) { return VirtualPid(1234567); };
  EXPECT_EQ(proc_sysvipc_text("key cpid x\n  7     5 1\n", bigger), "key cpid x\n  7 1234567 1\n");
}

TEST(ProcText, LoadAverageEndsInTheLastId) {
  EXPECT_EQ(proc_loadavg_text("0.10 0.20 0.30 1/123 4567\n", VirtualPid(12)), "0.10 0.20 0.30 1/123 12\n");
}

}  // namespace
}  // namespace beam::rootfs
