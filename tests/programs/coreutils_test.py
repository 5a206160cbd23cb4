"""coreutils: a battery over nearly all of its programs."""

import sys

from harness import Suite, script

FILES = r"""
exec 2>&1
umask 022
mkdir -p d/e/f d/g; printf 'b\na\nc\n' > d/one; seq 1 1000 > d/numbers; : > d/empty
cp d/one d/two; cp -a d copy; cp -r d/e copy2; cp --sparse=always d/numbers sparse; cp -l d/one hard; cp -s "$PWD/d/one" soft
mv d/two d/three; mv -n d/three d/one; mv -v d/three d/e/
ln d/one d/link; ln -s one d/symlink; ln -sfn e d/dirlink; readlink d/symlink d/dirlink
realpath --relative-to=. d/dirlink/../one; basename /a/b.c .c; dirname /a/b/c; pathchk -p good_name; pathchk -p 'bad*name'
chmod 600 d/one; chmod u+x,g=rx,o-r d/numbers; chmod -R go-w copy; chmod +t d/g; chmod u+s d/empty
stat -c '%A %h %s %F %n' d/one d/numbers d/g d/empty d/symlink
touch -d '2020-02-02 02:02:02 UTC' d/numbers; stat -c %Y d/numbers; date -r d/numbers +%F
ls -A d; ls -l --time-style=+%Y d/numbers | sed 's/ [a-z0-9]* [a-z0-9]* / U G /'; ls -R d/e; ls -d d/*; ls nosuch; dir d; vdir -gGo --time-style=+T d/one
touch -c nosuch; truncate -s 5000 big; truncate -s -1000 big; stat -c %s big
dd if=d/numbers of=dd1 bs=100 count=3 skip=2 seek=1 conv=notrunc status=none; dd if=/dev/zero of=dd2 bs=1k count=4 2>&1 | head -2
mkfifo fifo -m 640; mknod fifo2 p; mktemp -d tmpXXXX | sed 's/tmp..../tmpXXXX/'; rmdir tmp????; mktemp -u nameXXXX | wc -c
install -D -m 751 d/one inst/a/b; install -d inst/c -m 700; stat -c '%a %n' inst/a/b inst/c
du -a --apparent-size -b d | sort -k2; du -s nosuch
rm -v d/empty; rm -r copy2; rm nosuch; rm -f nosuch; rmdir d; rmdir -p d/e/f; unlink hard; shred -u -n 1 dd2
df --output=target . > /dev/null && echo df; sync d/one; mkdir d; mkdir -m 1777 -v sticky
split -l 300 d/numbers part.; split -n 3 -d d/numbers chunk.; csplit -s -f cs. d/numbers 500 900; ls part.* chunk.* cs.*
link d/one linked; chgrp "$(id -gn)" d/one; chown "$(id -un)" d/one; chown -R root:root d/one 2>/dev/null && echo chowned || echo refused
tee t1 t2 < d/one; cat d/one - < d/one > cat; cat nosuch
test -L d/symlink && test -p fifo && test -d d && test -s d/one && echo types
[ d/one -ef d/link ] && echo same file
"""

TEXT = r"""
exec 2>&1
seq 20 > n; printf 'x y\nz y\na b\n' > w; printf '1 one\n2 two\n3 three\n' > j1; printf '2 zwei\n3 drei\n4 vier\n' > j2
sort -rn n | head -3; sort -k2 w; sort -c w; sort -u w w; sort -R --random-source=/bin/true n | wc -l; seq 100000 | sort -S 64K --parallel=4 -n -r | md5sum
uniq -c w; cut -d' ' -f2 w; paste n w | head -3; paste -sd+ n; join j1 j2; join -a1 -e none -o 0,1.2,2.2 j1 j2; comm j1 j2
tr a-z A-Z < w; tr -d y < w; tr -s ' ' '\n' < w; wc n w; head -c 5 n; tail -n 2 n; tail -c +40 n; tac w; rev w; nl w; fold -w 3 w
fmt -w 20 w; pr -t -2 n; expand -t 4 w; unexpand -a w; od -c w; od -A x -t x1z n; base64 n; base64 n | base64 -d | cmp - n; base32 w; basenc --hex w
md5sum n; sha1sum n; sha256sum n > sums; sha256sum -c sums; sha512sum w; b2sum w; cksum n; sum n
factor 1234567890123; seq -w 8 11; seq 1 .5 3; numfmt --to=iec 123456789; numfmt --from=si 1.5K; expr 6 \* 7; expr abc : 'a\(.\)c'; printf '%d %s\n' 7 seven
shuf -n 3 --random-source=n n; tsort w; ptx -w 30 w; echo -e 'a\tb'; printf '%b' 'nul\0' | od -c; yes no | head -2; csplit -s n 10; cat xx01 | head -2
split -b 20 --filter='wc -c' n; printf 'b\0a\0' | sort -z | tr '\0' '\n'; dircolors -b | head -c 10; echo; stdbuf -oL head -1 n; tail -f --pid=$$ n > /dev/null & kill $!; wait $!; echo $?
"""

SYSTEM = r"""
exec 2>&1
ulimit -c 0
id -u > /dev/null && whoami | cmp - - && id -un | cmp - - ; [ "$(id -u)" = "$(stat -c %u /proc/self)" ] && echo owner; groups > /dev/null && echo groups
logname > /dev/null; tty; nproc > /dev/null && echo nproc; uname -s; uname -m; arch; hostid > /dev/null && echo hostid; uptime > /dev/null && echo uptime; who > /dev/null && echo who
date -u -d @86400 +%FT%T; date -d 2020-02-30; TZ=Europe/Berlin date -d @0 +%H; printenv HOME | sed "s|$HOME|home|"; env -i A=1 env; env -u HOME sh -c 'echo ${HOME-unset}'; env -C tmp pwd | sed 's|.*/||'
nice; nice -n 5 nice; nice -n 5 sh -c 'nice -n 3 nice'; nohup sh -c 'echo nohup' < /dev/null; stty < /dev/null; sleep 0.01; echo $?
timeout 5 true; timeout 0.05 sleep 100; echo $?; timeout -s KILL 0.05 sleep 100; echo $?; timeout --preserve-status 0.05 sleep 100; echo $?; timeout -k 0.05 0.05 sh -c 'trap "" TERM; while :; do sleep 100; done' ; echo $?
timeout --foreground 5 sh -c 'exit 7'; echo $?
sh -c 'sleep 1000 & echo $! > pid; wait' & p=$!; until [ -s pid ]; do :; done; kill $(cat pid); wait $p; echo $?; rm pid
kill -l HUP; kill -L > /dev/null && echo list; /bin/kill -0 $$; echo $?; /bin/kill -9 999999; echo $?
true; echo $?; false; echo $?; test 1 -gt 2; echo $?; [ abc = abc ]; echo $?
chroot / true; echo $?; chroot nosuch true; echo $?
tail -f /dev/null --pid=$(sh -c 'echo $$'); echo tail ended $?
sleep 1000 & s=$!; tail -f --pid=$s /dev/null & t=$!; kill $s; wait $s; wait $t; echo tail followed $?
runcon > /dev/null 2>&1 || echo no context; pinky -f > /dev/null; echo pinky; users > /dev/null; echo users
"""

suite = Suite("coreutils").needs("coreutils", "ls", "shuf", "stdbuf", "basenc", "ptx", "timeout")
suite.needs("util-linux", "rev").needs("procps", "uptime")
suite.add(script("files", FILES))
REAPED = "dash tells of a signalled job whenever it happens to reap it"
suite.add(script("text", TEXT)).vary(r"^Terminated\n", "", because=REAPED)
suite.add(script("system", SYSTEM)).vary(r"^Terminated\n", "", because=REAPED)
sys.exit(suite.main())
