# nginx with a master and a worker, and curl, across freezes: before a request, and while one is under way.
fail() { echo "FAIL tool_nginx.sh: $*"; cat ./*.log 2>/dev/null; exit 1; }
guest_fence() { echo FENCE; read -r _ || true; }
PATH=$PATH:/usr/sbin
for program in nginx curl; do
  command -v $program >/dev/null || fail "$program is not installed: install $program"
done
mkdir -p logs tmp html
head -c 3000000 /dev/zero | tr '\0' 'n' >html/large
echo hello >html/index.html
port=
for _ in 1 2 3 4 5; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat >nginx.conf <<CONF
daemon off;
$([ "$(id -u)" != 0 ] || echo 'user root;') # the working directory is its owner's alone
worker_processes 2;
pid $PWD/nginx.pid;
error_log $PWD/error.log;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path $PWD/tmp; proxy_temp_path $PWD/tmp; fastcgi_temp_path $PWD/tmp; uwsgi_temp_path $PWD/tmp; scgi_temp_path $PWD/tmp;
  server { listen 127.0.0.1:$port; root $PWD/html; location /large { limit_rate 2m; } }
}
CONF
  nginx -p "$PWD" -c "$PWD/nginx.conf" 2>start.log &
  server=$!
  until curl -s "http://127.0.0.1:$port/" >first 2>/dev/null; do kill -0 $server 2>/dev/null || break; done
  [ "$(cat first)" = hello ] && break
  wait $server
  port=
done
[ -n "$port" ] || fail "no server"
guest_fence
[ "$(curl -s "http://127.0.0.1:$port/")" = hello ] || fail "no answer after the fence"
curl -s "http://127.0.0.1:$port/large" >got &
download=$!
guest_fence
wait $download || fail "curl ended with $?"
cmp got html/large || fail "what curl got is not what nginx has"
[ "$(curl -s "http://127.0.0.1:$port/")" = hello ] || fail "no answer at the end"
kill -TERM $server
wait $server
echo PASS
