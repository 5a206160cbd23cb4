"""PostgreSQL: initdb, a server with its many processes, pgbench, a killed backend, a clean stop."""

import glob
import sys

from harness import Suite, script

SCRIPT = r"""
exec 2>&1
PATH=$(echo /usr/lib/postgresql/*/bin | tr ' ' '\n' | tail -1):$PATH
export PGHOST=$PWD PGUSER=tester PGDATABASE=postgres PGDATA=$PWD/data PGCONNECT_TIMEOUT=20
fail() { echo "$@"; cat server.log; exit 1; }
initdb --no-sync -A trust -U tester -E UTF8 --locale=C > initdb.log || { cat initdb.log; exit 1; }
cat >> data/postgresql.conf <<END
unix_socket_directories = '$PWD'
listen_addresses = ''
fsync = off
max_connections = 20
shared_buffers = 16MB
END
pg_ctl -w -t 40 -l server.log start > start.log || fail "no start"
psql -Atc "select 'up', count(*) from pg_database"
[ "$(head -1 data/postmaster.pid)" = "$(psql -Atc "select pg_read_file('postmaster.pid')" | head -1)" ] && echo pid file
master=$(head -1 data/postmaster.pid)
# Each backend is a child of the postmaster, and pg_backend_pid is what /proc calls it.
psql -At > backend <<'END'
select pg_backend_pid() as pid \gset
\set check `echo 1`
select :'pid' = (regexp_split_to_array(pg_read_file('/proc/self/stat'), ' '))[1], (regexp_split_to_array(pg_read_file('/proc/self/stat'), ' '))[4];
END
[ "$(cat backend)" = "t|$master" ] && echo backend agrees || cat backend
pgbench -i -q -s 1 > /dev/null 2>&1; echo init $?
pgbench -n -c 4 -j 2 -t 40 > bench.log 2>&1; echo pgbench $?; grep -E 'actually processed|failed' bench.log
pgbench -n -S -M prepared -c 3 -j 3 -t 50 2>&1 | grep 'actually processed'
psql -At <<'END'
select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history), (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches), count(*) from pgbench_history;
create table t as select i, md5(i::text) as m from generate_series(1, 20000) i; create index on t(m); vacuum analyze t; select count(*), min(m), max(m) from t;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; select sum(length(m)) from t;
\copy (select * from t where i < 4 order by i) to stdout
select 1 / 0;
create extension if not exists dblink; select * from dblink('host=' || current_setting('unix_socket_directories') || ' dbname=postgres user=tester', 'select 42') as x(answer int);
END
# Locks and signals between backends: a cancelled and a terminated query.
psql -Atc "set application_name = 'waiter'; select pg_sleep(1000)" > cancelled 2>&1 & waiter=$!
until [ "$(psql -Atc "select count(*) from pg_stat_activity where wait_event = 'PgSleep'")" = 1 ]; do :; done
psql -Atc "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"; wait $waiter; echo $?; cat cancelled
# A backend that is killed takes all of them down; the postmaster recovers.
psql -Atc "select pg_sleep(1000)" > /dev/null 2>&1 & waiter=$!
until victim=$(psql -Atc "select pid from pg_stat_activity where wait_event = 'PgSleep'"); [ -n "$victim" ]; do :; done
kill -KILL $victim; wait $waiter; echo $?
until psql -Atc 'select count(*) from pgbench_history' 2> /dev/null > count; do kill -0 $master || fail "no postmaster"; done; cat count; grep -c 'all server processes terminated; reinitializing' server.log
pg_ctl reload > /dev/null; echo reload $?; pg_dump -t pgbench_branches | grep -c COPY
pg_ctl -w -m fast stop > stop.log; echo stop $?
rm -rf data *.log cancelled count backend; ls -A
"""

suite = Suite("PostgreSQL")
if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
    suite.needs("postgresql", "initdb")
if not glob.glob("/usr/lib/postgresql/*/bin/pgbench"):
    suite.needs("postgresql", "pgbench")
suite.needs("postgresql-client", "psql")
suite.not_as_root("PostgreSQL refuses to run as root; run this test as an ordinary user")
suite.add(script("server", SCRIPT, timeout=120))
sys.exit(suite.main())
