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
# Rows that dunlin, or what else runs there, has changed. The ledger tells it without a scan beside what is measured.
moved() {
  case "$1" in
    dunlin) sql app "SELECT coalesce(sum(rows_done), 0) FROM dunlin.shard" ;;
    *) sql app "SELECT coalesce(sum(n), 0) FROM t" ;;
  esac
}

start() {
  case "$1" in
    dunlin)
      "$bin/dunlin" local "$work/$migration" --database "$dsn" >"$work/dunlin.log" 2>&1 & children+=("$!") ;;
    loop) "$out/loop" "$dsn" t "$4" "$2" "$3" >/dev/null & children+=("$!") ;;
    update) "$pg/psql" -X -q "$dsn" -c "UPDATE t SET n = n + 1" & children+=("$!") ;;
  esac
}
# Ends what runs beside, to its last backend.
end_beside() {
  end_children
  sql app "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()" >/dev/null
}
# So that each side finds the table as the others did. Rows may be changed again and again.
reset() {
  sql app "DROP SCHEMA IF EXISTS dunlin, dunlin_store CASCADE"
  sql app "VACUUM t"
  sql app "CHECKPOINT"
  sync
}

application 0 5
maximum=$(application_maximum)
rate=$((maximum / 2))
cores=$(nproc)
report=$out/interference.txt
echo "interference: $cores cores, application at most $maximum transactions/s, at $rate; $pairs pairs of $seconds s" | tee "$report"
printf '%-34s %8s %8s %8s %8s %10s\n' "beside" "p50 ×" "p95 ×" "p99 ×" "0.15 s ×" "rows/s" | tee -a "$report"

alone() {
  application "$rate" "$seconds"
  alone="$(quantiles) $(window_p95)"
}
beside() {
  # Dunlin settles beside the application, not before it.
  local warm=1 from
  if [ "$1" = dunlin ]; then warm=30; fi
  start "$@"
  application "$rate" "$warm"
  from=$(moved "$1")
  application "$rate" "$seconds"
  beside="$(quantiles) $(window_p95)"
  moved=$((($(moved "$1") - from) / seconds))
  if [ "$1" = dunlin ] && [ "$(moved dunlin)" -ge "$rows" ]; then echo "interference: the run ended before its measurement" >&2; exit 1; fi
  end_beside
}
# One side: pairs of alone and beside, then beside and alone: what changes with time falls on both alike.
side() {
  local name=$1 alone beside moved; shift
  : >"$work/pairs"
  for ((pair = 1; pair <= pairs; ++pair)); do
    application "$rate" 3  # the disk calms down
    if ((pair % 2)); then alone; beside "$@"; else beside "$@"; alone; fi
    echo "$alone $beside $moved" >>"$work/pairs"
    reset
  done
  awk -v name="$name" "$median"'
    { a[NR] = $5 / $1; b[NR] = $6 / $2; c[NR] = $7 / $3; w[NR] = $8 / $4; d[NR] = $9 }
    END { printf "%-34s %8.2f %8.2f %8.2f %8.2f %10d\n", name, median(a, NR), median(b, NR), median(c, NR), median(w, NR), median(d, NR) }' "$work/pairs" | tee -a "$report"
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
