"""perl: fork, wait, signals, pipes, sockets, System V IPC."""

import sys

from harness import Scenario, Suite

PROCESSES = r"""
use strict; use warnings; use POSIX qw(:sys_wait_h :signal_h setsid getpgrp dup2 _exit); use IO::Handle; use IPC::Open3; use Fcntl qw(:flock);
$| = 1;
open(my $stat, '<', '/proc/self/stat') or die; my @f = split ' ', <$stat>; close $stat;
print "pid ", $f[0] == $$ ? "agrees" : "differs", ", ppid ", $f[3] == getppid() ? "agrees" : "differs", ", group ", $f[4] == getpgrp() ? "agrees" : "differs", "\n";
# Statuses of many children, in whatever order they end.
my %want; for my $i (1 .. 100) { my $p = fork // die "fork: $!"; if (!$p) { _exit($i % 128) } $want{$p} = $i % 128 }
my $good = 0; while ((my $p = wait) > 0) { $good++ if $want{$p} == $? >> 8; delete $want{$p} } print "children $good, left ", scalar(keys %want), ", errno $!\n";
# WNOHANG, signal status, kill 0.
pipe(my $r, my $w); my $p = fork; if (!$p) { close $r; $SIG{TERM} = sub { _exit(9) }; syswrite $w, "r"; 1 while sleep 1000 }
close $w; sysread $r, my $byte, 1; print "wnohang ", waitpid($p, WNOHANG), ", alive ", kill(0, $p), "\n"; kill TERM => $p; waitpid($p, 0); print "status ", $? >> 8, ", alive ", kill(0, $p), "\n";
$p = fork; if (!$p) { kill KILL => $$ } waitpid($p, 0); print "signal ", $? & 127, "\n";
# siginfo names the sender by a pid that fork gave.
my ($sender, $got); sigaction(SIGUSR1, POSIX::SigAction->new(sub { $sender = $_[1]{pid}; $got = $_[1]{signo} }, POSIX::SigSet->new, SA_SIGINFO));
my $set = POSIX::SigSet->new(SIGUSR1); sigprocmask(SIG_BLOCK, $set); my $parent = $$;
$p = fork; if (!$p) { kill USR1 => getppid(); _exit(0) } while (!$got) { sigsuspend(POSIX::SigSet->new) } waitpid($p, 0); sigprocmask(SIG_UNBLOCK, $set);
print "sender ", $sender == $p ? "is the child" : "is $sender, not $p", "\n";
# alarm interrupts, $SIG{CHLD}, groups, sessions.
eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; select(undef, undef, undef, 100); }; print $@;
my $chld = 0; { local $SIG{CHLD} = sub { $chld++ while waitpid(-1, WNOHANG) > 0 }; my $c = fork; if (!$c) { _exit(0) } select(undef, undef, undef, 0.01) until $chld; print "chld $chld\n"; }
$p = fork; if (!$p) { my $s = setsid(); _exit($s == $$ && getpgrp() == $$ ? 0 : 1) } waitpid($p, 0); print "setsid $?\n";
pipe($r, $w); my @kids = map { my $k = fork; if (!$k) { setpgrp(0, $kids::first // 0); syswrite $w, "r"; sleep 1000; _exit 1 } $kids::first //= $k; setpgrp($k, $kids::first); $k } 0 .. 2;
sysread $r, $byte, 1 for @kids; kill -TERM => $kids[0]; waitpid($_, 0), print "member ", $? & 127, "\n" for @kids;
# open3, backticks, exec, system, pipes to and from commands.
my $pid = open3(my $in, my $out, undef, 'sh', '-c', 'read x; echo "got $x"; echo err >&2; exit 6'); print $in "line\n"; close $in; my @lines = sort <$out>; waitpid($pid, 0); print @lines, "status ", $? >> 8, "\n";
print `echo backtick; exit 3`, $? >> 8, "\n"; print system("exit 4;") >> 8, "\n"; print system("kill -9 \$\$") & 127, "\n"; open(my $c, '|-', 'tr a-z A-Z') or die; print $c "piped\n"; close $c;
open($c, '-|') || _exit(print "from the child of open\n" ? 0 : 1); print <$c>; close $c;
# A lock that another process holds.
open(my $lock, '>', 'lock'); flock($lock, LOCK_EX); $p = fork; if (!$p) { open(my $l, '>', 'lock'); _exit(flock($l, LOCK_EX | LOCK_NB) ? 1 : 0) } waitpid($p, 0); print "locked $?\n"; unlink 'lock';
$0 = "renamed"; open($stat, '<', "/proc/$$/comm"); print "comm ", <$stat>;
exec 'perl', '-e', "print 'exec keeps ', \$\$ == $$ ? 'the pid' : 'not', \"\n\"";
"""

SOCKETS = r"""
use strict; use warnings; use IO::Socket::INET; use IO::Socket::UNIX; use Socket; use POSIX qw(_exit); use IO::Select;
$| = 1;
my $s = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $@";
my $port = $s->sockport;
my @pids; for my $i (1 .. 8) { my $p = fork // die; if (!$p) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "connect: $@"; print $c "hello from $i\n"; my $l = <$c>; _exit($l eq "HELLO FROM $i\n" ? 0 : 1) } push @pids, $p }
my $select = IO::Select->new($s); my $served = 0;
while ($served < 8) { for my $h ($select->can_read) { if ($h == $s) { $select->add($s->accept) } else { my $l = <$h>; print $h uc $l; $select->remove($h); close $h; $served++ } } }
my $bad = 0; for (@pids) { waitpid($_, 0); $bad++ if $? } print "served $served, bad $bad\n";
my $u = IO::Socket::UNIX->new(Local => 'sock', Listen => 1) or die "unix: $!"; my $p = fork;
if (!$p) { my $c = IO::Socket::UNIX->new(Peer => 'sock') or die; print $c "unix\n"; print scalar <$c>; _exit(0) }
my $c = $u->accept; my ($pid, $uid, $gid) = unpack 'iii', getsockopt($c, SOL_SOCKET, SO_PEERCRED); print "peer ", $pid == $p ? "is the child" : "is $pid, not $p", ", uid ", $uid == $> ? "right" : "wrong", "\n";
my $l = <$c>; print $c "echo $l"; close $c; waitpid($p, 0); unlink 'sock';
socketpair(my $a, my $b, AF_UNIX, SOCK_DGRAM, 0); send $a, "datagram $_", 0 for 1 .. 3; for (1 .. 3) { recv $b, my $m, 100, 0; print "$m\n" }
my $udp = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') or die; $p = fork; if (!$p) { my $x = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '127.0.0.1', PeerPort => $udp->sockport); $x->send("udp"); _exit(0) } $udp->recv(my $m, 100); print "$m\n"; waitpid($p, 0);
print IO::Socket::INET->new(PeerAddr => "127.0.0.1:1") ? "connected\n" : "refused: $!\n";
"""

IPC = r"""
use strict; use warnings; use IPC::SysV qw(IPC_PRIVATE IPC_RMID IPC_CREAT IPC_STAT S_IRUSR S_IWUSR SETVAL GETVAL GETPID); use IPC::Msg; use IPC::Semaphore; use IPC::SharedMem; use POSIX qw(_exit);
$| = 1;
my $q = IPC::Msg->new(IPC_PRIVATE, IPC_CREAT | 0600) or die "msg: $!"; my $p = fork; if (!$p) { $q->snd(7, "message"); _exit(0) } $q->rcv(my $m, 100, 7) or die; waitpid($p, 0);
print "$m, sent by ", $q->stat->lspid == $p ? "the child" : "another", ", received by ", $q->stat->lrpid == $$ ? "me" : "another", "\n"; $q->remove;
my $s = IPC::Semaphore->new(IPC_PRIVATE, 1, IPC_CREAT | 0600) or die "sem: $!"; $s->setval(0, 0); $p = fork; if (!$p) { $s->op(0, 1, 0); _exit(0) } $s->op(0, -1, 0); waitpid($p, 0); print "semaphore ", $s->getval(0), ", last by ", $s->getpid(0) == $$ ? "me" : $s->getpid(0) == $p ? "the child" : "another", "\n"; $s->remove;
my $h = IPC::SharedMem->new(IPC_PRIVATE, 100, S_IRUSR | S_IWUSR) or die "shm: $!"; $h->attach; $p = fork; if (!$p) { $h->write("from the child", 0, 14); _exit(0) } waitpid($p, 0); print $h->read(0, 14), ", made by ", $h->stat->cpid == $$ ? "me" : "another", "\n"; $h->detach; $h->remove;
"""

suite = Suite("perl").needs("perl", "perl")
for name, text in (("processes", PROCESSES), ("sockets", SOCKETS), ("ipc", IPC)):
    suite.add(Scenario(name, ["perl", "scenario.pl"], files={"scenario.pl": text}))
sys.exit(suite.main())
