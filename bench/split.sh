#!/usr/bin/env bash
# What a hot shard costs; bench/README.md says how. Called by script/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=5
rows=400000
while [ $# -gt 0 ]; do
  case "$1" in
    --pairs) pairs=$2 ;;
    --rows) rows=$2 ;;
    *) echo "usage: script/bench split [--rows N] [--pairs N]" >&2; exit 2 ;;
  esac
  shift 2
done
# shellcheck source=bench/server.sh
. bench/server.sh
start_server

# A fifth of the rows is there when the run is planned. A batch waits 0.4 ms for each of its rows, so that slots count and cores do not.
known=$((rows / 5))
sql postgres "CREATE DATABASE made"
sql made "CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);
  INSERT INTO t SELECT g * 1000 FROM generate_series(1, $known) g;
  CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
    PERFORM pg_sleep(count(*) * 0.0004) FROM changed; RETURN NULL; END \$\$;
  CREATE TRIGGER linger AFTER UPDATE ON t REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION linger()"
sql made "VACUUM (ANALYZE, FREEZE) t"
version=20261123120000
cat >"$work/${version}_count.yaml" <<YAML
description: Count every row once
target: app
table: t
batch: UPDATE t SET n = n + 1 WHERE :batch
limits: {concurrency: 8}
YAML

until_state() {
  until [ "$(sql store "SELECT state FROM dunlin_store.run")" = "$1" ]; do read -rt 0.1 <> <(:) || true; done
}
# Seconds from the resume to the end, the other rows having come meanwhile: everywhere, or all into one shard.
one() {
  copy_database made app
  sql postgres "DROP DATABASE IF EXISTS store WITH (FORCE)"
  sql postgres "CREATE DATABASE store"
  start_cluster 4
  dunlin start "$work/${version}_count.yaml" --stop-after 1 >"$work/start.log"
  until_state PAUSED
  case "$1" in
    even) sql app "INSERT INTO t SELECT g * 1000 + i FROM generate_series(1, $known) g, generate_series(1, 4) i" ;;
    hot) sql app "INSERT INTO t SELECT $((known / 2)) * 1000 + g / 999 * 1000 + g % 999 + 1 FROM generate_series(0, 4 * $known - 1) g" ;;
  esac
  local began; began=$(now)
  dunlin resume "$version" >"$work/resume.log"
  until_state FINISHED
  seconds=$(awk -v a="$began" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}')
  [ "$(sql app "SELECT count(*) FROM t WHERE n <> 1")" -lt "$known" ] || { echo "bench: rows were left out" >&2; exit 1; }
  shards=$(sql store "SELECT count(*) FROM dunlin_store.shard")
  end_children
}

echo "bench: $rows rows, 8 slots, $pairs pairs" | tee build/bench/split.txt
: >"$work/ratios"
for ((pair = 1; pair <= pairs; ++pair)); do
  if ((pair % 2)); then order="even hot"; else order="hot even"; fi
  for which in $order; do
    one "$which"
    if [ "$which" = even ]; then even=$seconds; else hot=$seconds hot_shards=$shards; fi
  done
  awk -v e="$even" -v h="$hot" 'BEGIN {printf "%.3f\n", h / e}' | tee -a "$work/ratios" |
    sed "s/^/  pair $pair: even $even s, hot $hot s ($hot_shards shards at the end), ratio /" | tee -a build/bench/split.txt
done
sort -n "$work/ratios" | awk '{v[NR] = $1} END {printf "hot shard over even, median: %.3f (%.3f to %.3f)\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2, v[1], v[NR]}' |
  tee -a build/bench/split.txt
