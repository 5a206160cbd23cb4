"""nginx: master and workers, reload, reopened logs, a worker that dies, graceful quit."""

import sys

from harness import Suite, script

CONFIG = """
daemon on;
worker_processes 2;
pid nginx.pid;
error_log error.log notice;
events { worker_connections 64; }
http {
  access_log access.log;
  client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi; uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
  server {
    listen unix:front.sock; listen 127.0.0.1:PORT;
    location / { root html; }
    location /pid { return 200 "$pid\\n"; }
    location /version { return 200 "VERSION\\n"; }
    location /slow { root html; limit_rate 20k; }
    location /proxy/ { proxy_pass http://unix:back.sock:/; }
  }
  server { listen unix:back.sock; location / { return 200 "back of $uri\\n"; } }
}
"""

SCRIPT = r"""
exec 2>&1
mkdir html; echo index > html/index.html; head -c 40000 /dev/zero > html/slow; head -c 300000 /dev/zero > html/big
[ "$(id -u)" = 0 ] && user='user root;'
run() { nginx -p "$PWD/" -e error.log -c nginx.conf "$@"; }
for try in 1 2 3 4 5; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  { echo "$user"; sed "s/PORT/$port/; s/VERSION/one/" template; } > nginx.conf
  rm -f *.sock; run && break
done
run -t
get() { curl -sS --unix-socket front.sock "http://localhost$1"; }
get /; get /proxy/path; curl -s http://127.0.0.1:$port/version; get /nosuch | grep -c '404 Not Found'; get /big | wc -c
master=$(cat nginx.pid); ls /proc/$master/task | wc -l; workers=$(cat /proc/$master/task/$master/children); echo $workers | wc -w
tr -s '\0' '\n' < /proc/$master/cmdline | sed 's/process.*/process/'; for w in $workers; do tr -s '\0' '\n' < /proc/$w/cmdline; done
seq 40 | xargs -P 8 -I{} curl -s http://127.0.0.1:$port/pid | sort -u > pids; for p in $(cat pids); do case " $workers" in *" $p "*) ;; *) echo "answered by $p, not one of $workers";; esac; done; rm pids
# A reload replaces the workers; a request that is on its way ends first.
get /slow > slow & slow=$!
until [ -s slow ]; do :; done
sed -i 's/one\\n/two\\n/' nginx.conf; run -s reload
until [ "$(get /version)" = two ]; do :; done; wait $slow; wc -c < slow; rm slow
for w in $workers; do while [ -e /proc/$w ]; do :; done; done; [ "$(cat nginx.pid)" = $master ] && echo same master
# The master starts a worker again that was killed.
victim=$(cut -d' ' -f1 /proc/$master/task/$master/children); kill -KILL $victim
until [ "$(wc -w < /proc/$master/task/$master/children)" = 2 ] && ! grep -qw $victim /proc/$master/task/$master/children; do :; done; get /version
mv access.log old.log; run -s reopen; until [ -e access.log ]; do :; done; get /version > /dev/null; until [ -s access.log ]; do :; done; echo reopened
grep -c 'GET /version' access.log
run -s quit; while [ -e /proc/$master ]; do :; done; ls; get / ; echo $?
grep -cE '\[(alert|emerg|crit)\]' error.log; grep -c 'exited on signal 9' error.log
rm -rf *.log html nginx.conf
"""

suite = Suite("nginx").needs("nginx-light", "nginx").needs("curl", "curl").needs("python3", "python3")
suite.add(script("server", SCRIPT, files={"template": CONFIG}, timeout=60)) \
    .ignore("*.pid", because="holds the master's pid")
sys.exit(suite.main())
