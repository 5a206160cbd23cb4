"""redis: the server with its own benchmark, snapshots and log rewrites by forked children, replication, signals."""

import sys

from harness import Suite, script

SCRIPT = r"""
exec 2>&1
fail() { echo "$@"; cat *.log; exit 1; }
# Takes a free port; another process may take it before the server does, then the next one is tried.
start() {
  name=$1; shift
  for try in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    redis-server --port $port --bind 127.0.0.1 --unixsocket $name.sock --dir "$PWD" --dbfilename $name.rdb --logfile $name.log \
        --pidfile "$PWD/$name.pid" --save '' --hz 100 --repl-diskless-sync-delay 0 "$@" & server=$!
    until redis-cli -s $name.sock ping > /dev/null 2>&1; do kill -0 $server 2> /dev/null || break; done
    redis-cli -s $name.sock ping > /dev/null 2>&1 && return
    wait $server
  done
  fail "no server"
}
cli() { redis-cli -s main.sock "$@"; }
start main --appendonly yes --appendfsync no; main=$server; main_port=$port
[ "$(cli info server | tr -d '\r' | sed -n 's/^process_id://p')" = $main ] && echo process_id agrees
[ "$(redis-cli -p $main_port ping)" = PONG ] && echo tcp
redis-benchmark -s main.sock -q -n 4000 -c 20 -t set,get,lpush,mset -r 1000 > bench; tr '\r' '\n' < bench | grep -c 'requests per second'
redis-benchmark -h 127.0.0.1 -p $main_port -q -n 3000 -c 10 -P 8 --threads 2 -t ping,incr > bench; tr '\r' '\n' < bench | grep -c 'requests per second'; rm bench
cli flushall; for i in $(seq 50); do echo "set key$i value$i"; echo "lpush list $i"; done | cli > /dev/null; cli dbsize; cli get key7; cli lrange list 0 2
cli eval 'local s = 0; for i = 1, 1000 do s = s + i end; return s' 0
(cli blpop queue 20 > popped) & popper=$!
until cli client list | grep -q cmd=blpop; do :; done; cli rpush queue item; wait $popper; cat popped; rm popped
# Forked children write the snapshot and the log.
cli bgsave; until cli info persistence | grep -q rdb_bgsave_in_progress:0; do :; done; cli info persistence | tr -d '\r' | grep last_bgsave_status; redis-check-rdb main.rdb | grep -c 'RDB looks OK'
cli bgrewriteaof; until cli info persistence | tr -d '\r' | grep -q 'aof_rewrite_in_progress:0'; do :; done; cli info persistence | tr -d '\r' | grep aof_last_bgrewrite
# A replica gets all of it over the loopback.
start replica --replicaof "127.0.0.1 $main_port"; replica=$server
until redis-cli -s replica.sock info replication | grep -q master_link_status:up; do :; done; printf 'set late here\nwait 1 20000\n' | cli; redis-cli -s replica.sock get late
kill -TERM $replica; wait $replica; echo replica $?
# Killed without a word, it comes back with what the log holds.
kill -KILL $main; wait $main; echo killed $?
rm -f main.sock; start main --appendonly yes; cli dbsize; cli get late; cli shutdown nosave; wait $server; echo shutdown $?
rm -rf *.log *.rdb appendonlydir *.sock *.pid; ls
"""

suite = Suite("redis").needs("redis-server", "redis-server").needs("redis-tools", "redis-cli", "redis-benchmark")
suite.needs("redis-tools", "redis-check-rdb").needs("python3", "python3")
suite.add(script("server", SCRIPT, timeout=90)).vary(r"^(Killed|Terminated)\n", "", because="dash tells of it whenever it reaps")
sys.exit(suite.main())
