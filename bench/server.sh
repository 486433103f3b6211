# shellcheck shell=bash disable=SC2154
# A scratch PostgreSQL for a benchmark, in $work on $port, with fsync on; sourced; it builds the release: the binaries are in $bin, results go to $out. The
# server and whatever is listed in `children` end with the script. DUNLIN_BENCH_BIN names binaries that are built already.
bin=${DUNLIN_BENCH_BIN:-$PWD/build/bin}
if [ -z "${DUNLIN_BENCH_BIN:-}" ]; then script/build release; fi
out=$PWD/build/bench
mkdir -p "$out"
pg=/usr/lib/postgresql/15/bin
work=$(mktemp -d /tmp/dunlin_bench_XXXXXX)
port=$((20000 + RANDOM % 20000))
children=()

as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi
}
end_children() {
  for child in "${children[@]}"; do
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  done
  children=()
}
finish() {
  end_children
  if [ -f "$work/data/postmaster.pid" ]; then
    as_postgres "$pg/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || true
  fi
  rm -rf "$work"
}
dsn() { echo "postgresql://postgres@127.0.0.1:$port/$1"; }
# sql DATABASE COMMANDS
sql() { PGOPTIONS=--client-min-messages=warning "$pg/psql" -X -q -At -v ON_ERROR_STOP=1 "$(dsn "$1")" -c "$2"; }
# The hand-written loop (loop.c), into $out.
make_loop() {
  # shellcheck disable=SC2046  # flags are words
  cc -O2 -Wall -o "$out/loop" bench/loop.c $(pkg-config --cflags --libs libpq) -pthread
}
# copy_database FROM TO: anew, with what the server counts of its rows, which is not copied.
copy_database() {
  sql postgres "DROP DATABASE IF EXISTS $2 WITH (FORCE)"
  sql postgres "CREATE DATABASE $2 TEMPLATE $1 STRATEGY file_copy"
  sql "$2" "ANALYZE"
}
now() { date +%s.%N; }

# No checkpoint falls into a measurement.
start_server() {
  trap finish EXIT
  trap 'exit 130' INT TERM
  if [ "$(id -u)" -eq 0 ]; then chown postgres "$work"; fi
  as_postgres "$pg/initdb" -D "$work/data" -A trust -U postgres --no-sync -E UTF8 --locale=C.UTF-8 >/dev/null
  as_postgres "$pg/pg_ctl" -D "$work/data" -w -l "$work/log" \
    -o "-p $port -k $work -c listen_addresses=127.0.0.1 -c shared_buffers=1GB -c max_wal_size=32GB -c min_wal_size=8GB -c checkpoint_timeout=1h" start >/dev/null
}

# A coordinator and two agents with so many slots each, on the databases `store` and `app`, once both are known.
start_cluster() {
  "$bin/dunlin-coordinator" --store "$(dsn store)" --listen "127.0.0.1:$((port + 1))" 2>"$work/coordinator.log" &
  children+=("$!")
  for _ in 1 2; do
    "$bin/dunlin-agent" --coordinator "127.0.0.1:$((port + 1))" --target "app=$(dsn app)" --slots "$1" 2>>"$work/agents.log" &
    children+=("$!")
  done
  until [ "$("$bin/dunlin" agents --coordinator "127.0.0.1:$((port + 1))" -o json 2>/dev/null | grep -o '"agent_id"' | wc -l)" -ge 2 ]; do
    read -rt 0.1 <> <(:) || true
  done
}
dunlin() { "$bin/dunlin" "$@" --coordinator "127.0.0.1:$((port + 1))"; }

# An application on a new database: pgbench, half of whose transactions are on a table `t` of so many rows, each of which was changed
# twice before, so that a page has room as in a table that lives; and $migration, a migration of that table in $work.
make_application() {
  sql postgres "CREATE DATABASE $1"
  "$pg/pgbench" -i -q -s 10 "$(dsn "$1")" >/dev/null 2>&1
  sql "$1" "CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, seen int NOT NULL DEFAULT 0, body text)
       WITH (fillfactor = 70, autovacuum_enabled = false);  -- by the benches themselves, between measurements
     INSERT INTO t SELECT g, 0, 0, repeat('x', 60) FROM generate_series(1, $2) g"
  for ((change = 1; change <= 2; ++change)); do
    sql "$1" "UPDATE t SET seen = 0"
    sql "$1" "VACUUM (ANALYZE, FREEZE)"
  done
  cat >"$work/same.sql" <<SQL
\set id random(1, $2)
BEGIN;
SELECT body FROM t WHERE id = :id;
UPDATE t SET seen = seen + 1 WHERE id = :id;
COMMIT;
SQL
  migration=20261123120000_count.yaml
  cat >"$work/$migration" <<YAML
description: Count every row once
table: t
batch: UPDATE t SET n = n + 1 WHERE :batch
YAML
}
# It works on `app` at a rate (0 = as fast as it can) for so many seconds; latencies in microseconds into $work/latencies.
application() {
  local limit=()
  if [ "$1" -gt 0 ]; then limit=(-R "$1"); fi
  rm -f "$work"/log_app*
  (cd "$work" && "$pg/pgbench" -n -c 4 -j 2 -T "$2" "${limit[@]}" -b simple-update@1 -f same.sql@1 -l --log-prefix=log_app "$(dsn app)") >"$work/pgbench" 2>&1
  cut -d' ' -f3 "$work"/log_app* | sort -n >"$work/latencies"
}
application_maximum() { awk '/^tps/ {printf "%d", $3}' "$work/pgbench"; }
# p50, p95 and p99 of the latest.
quantiles() {
  awk '{v[NR] = $1} END {if (!NR) exit 1; printf "%d %d %d\n", v[int((NR - 1) * 0.5) + 1], v[int((NR - 1) * 0.95) + 1], v[int((NR - 1) * 0.99) + 1]}' "$work/latencies"
}
# Of the latest, the median over windows of 0.15 s of their p95: a stall of the whole machine falls into few of them.
window_p95() {
  awk '{printf "%d %d\n", ($5 % 100000 + $6 / 1e6) / 0.15, $3}' "$work"/log_app* | sort -k1,1n -k2,2n |
    awk '$1 != window { if (n >= 40) print v[int((n - 1) * 0.95) + 1]; window = $1; n = 0 } { v[++n] = $2 }' |
    awk "$median"'{ v[NR] = $1 } END { if (!NR) { print "no 0.15 s had 40 transactions" >"/dev/stderr"; exit 1 } print median(v, NR) }'
}
# For awk: the median of v[1] to v[n].
# shellcheck disable=SC2034  # for those who source this
median='function median(v, n,   i, j, t) {
  for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
  return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}'
