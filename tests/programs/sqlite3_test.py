"""sqlite3: one shell, and several that write one database at a time under its locks."""

import sys

from harness import Suite, script

SINGLE = r"""
sqlite3 db <<'END'
create table t(id integer primary key, name text, value real);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 20000) insert into t select i, 'name' || i, i * 0.5 from n;
create index by_name on t(name);
select count(*), sum(value), max(name) from t;
begin; delete from t where id % 3 = 0; savepoint s; update t set value = 0; rollback to s; commit;
select count(*), sum(value) from t;
create virtual table f using fts5(body); insert into f select name from t where id < 100; select * from f where f match 'name42 OR name44';
select json_extract('{"a":[1,2,3]}', '$.a[1]');
.mode csv
.once out.csv
select * from t limit 5;
.backup copy.db
.shell echo from shell
pragma integrity_check; vacuum; pragma journal_mode=wal; insert into t values(3, 'three', 3); pragma wal_checkpoint(truncate);
.dump f
END
echo $?; sqlite3 copy.db 'select count(*) from t'; sqlite3 db 'select nonsense'; echo $?; cat out.csv
"""

PARALLEL = r"""
for mode in delete wal; do
  rm -f p.db*
  sqlite3 p.db "pragma journal_mode=$mode; create table c(writer, n)"
  for writer in 1 2 3 4; do
    (for n in $(seq 15); do sqlite3 -cmd '.timeout 20000' p.db "begin immediate; insert into c values($writer, $n); commit" || echo failed; done) &
  done
  wait
  sqlite3 p.db 'select writer, count(*), sum(n) from c group by writer; pragma integrity_check'
done
rm -f p.db*
# A writer that holds the lock makes another one fail at once, and its death sets the lock free.
sqlite3 l.db 'create table t(x)'
mkfifo in out
sqlite3 -batch l.db < in > out & holder=$!
exec 3> in 4< out
echo 'begin exclusive; select 1;' >&3; read -r line <&4; echo "$line"
sqlite3 l.db 'insert into t values(1)'; echo busy $?
kill -KILL $holder; wait $holder; echo $?
sqlite3 l.db 'insert into t values(2); select * from t'; echo $?
"""

suite = Suite("sqlite3").needs("sqlite3", "sqlite3")
suite.add(script("single", SINGLE)).ignore("db*", because="a database notes a random salt in its log and header")
suite.add(script("parallel", PARALLEL, timeout=90)) \
    .vary(r"^Killed\n", "", because="dash tells of a signalled job whenever it happens to reap it")
sys.exit(suite.main())
