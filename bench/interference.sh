#!/usr/bin/env bash
# What a migration does to an application on the same database; bench/README.md says how. Called by script/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=10
pairs=7
grid=full
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=$2 ;;
    --pairs) pairs=$2 ;;
    --grid) grid=$2 ;;
    *) echo "usage: script/bench interference [--seconds N] [--pairs N] [--grid full|short]" >&2; exit 2 ;;
  esac
  shift 2
done
# shellcheck source=bench/server.sh
. bench/server.sh
make_loop
start_server
rows=4000000
dsn=$(dsn app)
make_application app "$rows"
moved() { sql app "SELECT coalesce(sum(n), 0) FROM t"; }

start() {
  case "$1" in
    dunlin)
      "$bin/dunlin" local "$work/$migration" --database "$dsn" >"$work/dunlin.log" 2>&1 & children+=("$!") ;;
    loop) "$out/loop" "$dsn" t "$4" "$2" "$3" >/dev/null & children+=("$!") ;;
    update) "$pg/psql" -X -q "$dsn" -c "UPDATE t SET n = n + 1" & children+=("$!") ;;
  esac
}
# So that each side finds the table as the others did.
reset() {
  end_children
  sql app "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()" >/dev/null
  sql app "DROP SCHEMA IF EXISTS dunlin, dunlin_store CASCADE"
  sql app "UPDATE t SET n = 0 WHERE n <> 0"
  sql app "VACUUM t"
  sql app "CHECKPOINT"
}

application 0 5
maximum=$(application_maximum)
rate=$((maximum / 2))
cores=$(nproc)
report=$out/interference.txt
echo "interference: $cores cores, application at most $maximum transactions/s, at $rate; $pairs pairs of $seconds s" | tee "$report"
printf '%-34s %8s %8s %8s %10s\n' "beside" "p50 ×" "p95 ×" "p99 ×" "rows/s" | tee -a "$report"

# One side: pairs of alone and beside, in alternating order.
side() {
  local name=$1; shift
  : >"$work/pairs"
  for ((pair = 1; pair <= pairs; ++pair)); do
    application "$rate" "$seconds"; local alone; alone=$(quantiles)
    local warm=1
    if [ "$1" = dunlin ]; then
      # It settles beside the application, not before it.
      warm=30
    fi
    start "$@"
    application "$rate" "$warm"
    local before after beside
    before=$(moved)
    application "$rate" "$seconds"; beside=$(quantiles)
    after=$(moved)
    if [ "$1" = dunlin ] && [ "$after" -ge "$rows" ]; then echo "interference: the run ended before its measurement" >&2; exit 1; fi
    echo "$alone $beside $(((after - before) / seconds))" >>"$work/pairs"
    reset
  done
  awk -v name="$name" "$median"'
    { a[NR] = $4 / $1; b[NR] = $5 / $2; c[NR] = $6 / $3; d[NR] = $7 }
    END { printf "%-34s %8.2f %8.2f %8.2f %10d\n", name, median(a, NR), median(b, NR), median(c, NR), median(d, NR) }' "$work/pairs" | tee -a "$report"
}

side "dunlin, defaults" dunlin
sizes=(500 2000 5000) shares=(10 20 35 100) connections=(1 2 4)
if [ "$grid" = short ]; then sizes=(500) connections=(1); fi
for size in "${sizes[@]}"; do
  for share in "${shares[@]}"; do
    for connection in "${connections[@]}"; do
      side "loop, $size rows, $share %, $connection conn." loop "$size" "$share" "$connection"
    done
  done
done
side "one big UPDATE" update
echo "interference: written to build/bench/interference.txt"
