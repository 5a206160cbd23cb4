# redis-server with its clients, over TCP and a UNIX socket, across freezes: what was written is there, connections go on.
fail() { echo "FAIL tool_redis.sh: $*"; cat ./*.log; exit 1; }
guest_fence() { echo FENCE; read -r _ || true; }
for program in redis-server redis-cli redis-benchmark; do
  command -v $program >/dev/null || fail "$program is not installed: install redis-server and redis-tools"
done
port=
for _ in 1 2 3 4 5; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  redis-server --port "$port" --bind 127.0.0.1 --unixsocket "$PWD/redis.sock" --save '' --logfile server.log &
  server=$!
  until redis-cli -s redis.sock ping >/dev/null 2>&1; do kill -0 $server 2>/dev/null || break; done
  redis-cli -s redis.sock ping >/dev/null 2>&1 && break
  wait $server
  port=
done
[ -n "$port" ] || fail "no server"
cli() { redis-cli -s redis.sock "$@" </dev/null; }
for i in 1 2 3 4 5; do cli set "key$i" "value$i" >/dev/null; done
# A client that waits for what comes only after the fence.
redis-cli -p "$port" blpop queue 60 </dev/null >popped &
popper=$!
until cli client list | grep -q cmd=blpop; do :; done
guest_fence
[ "$(cli get key3)" = value3 ] || fail "key3 is $(cli get key3)"
[ "$(redis-cli -p "$port" get key5 </dev/null)" = value5 ] || fail "key5 over TCP"
cli rpush queue item >/dev/null
wait $popper || fail "blpop ended with $?"
[ "$(tail -n 1 popped)" = item ] || fail "popped $(cat popped)"
redis-benchmark -s redis.sock -q -n 3000 -c 10 -t set,get,incr </dev/null >bench 2>&1 &
bench=$!
redis-benchmark -p "$port" -q -n 3000 -c 10 -P 4 -t lpush,ping </dev/null >bench.tcp 2>&1 &
bench_tcp=$!
guest_fence
wait $bench || fail "redis-benchmark: $(cat bench)"
wait $bench_tcp || fail "redis-benchmark over TCP: $(cat bench.tcp)"
[ "$(cli dbsize | tr -dc 0-9)" -ge 5 ] || fail "dbsize $(cli dbsize)"
cli shutdown nosave
wait $server
echo PASS
