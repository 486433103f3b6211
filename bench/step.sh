#!/usr/bin/env bash
# An application that comes beside a run at full speed, and goes again; bench/README.md says how. Called by script/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=5
while [ $# -gt 0 ]; do
  case "$1" in
    --pairs) pairs=$2 ;;
    *) echo "usage: script/bench step [--pairs N]" >&2; exit 2 ;;
  esac
  shift 2
done
# shellcheck source=bench/server.sh
. bench/server.sh
start_server
rows=16000000
make_application made "$rows"

# Rows a second within the next two.
rate_now() {
  local before after
  before=$(moved)
  pause 2
  after=$(moved)
  echo $(((after - before) / 2))
}
moved() { sql app "SELECT coalesce(sum(rows_done), 0) FROM dunlin.shard"; }
pause() { read -rt "$1" <> <(:) || true; }

: >"$work/steps"
for ((pair = 1; pair <= pairs; ++pair)); do
  copy_database made app
  sql app "SELECT count(*) FROM t WHERE body <> ''" >/dev/null
  sql app "CHECKPOINT"
  sync
  if [ "$pair" = 1 ]; then
    application 0 5
    rate=$(($(application_maximum) / 2))
    echo "step: $(nproc) cores, application at $rate transactions/s, half of what it can; $pairs times"
  fi
  application "$rate" 10
  alone=$(quantiles)
  "$bin/dunlin" local "$work/$migration" --database "$(dsn app)" >"$work/dunlin.log" 2>&1 &
  children+=("$!")
  until [ "$(sql app "SELECT to_regclass('dunlin.shard') IS NOT NULL")" = t ] && [ "$(moved)" -gt 0 ]; do pause 0.1; done
  pause 4  # it takes three seconds for nobody there, and the above was somebody
  full=$(rate_now)
  application "$rate" 10
  coming=$(quantiles)
  before=$(moved)
  application "$rate" 10
  beside=$(quantiles)
  slowed=$((($(moved) - before) / 10))
  pause 10
  after=$(rate_now)
  [ "$(moved)" -lt "$rows" ] || { echo "step: the run ended before its measurement ($alone; $coming; $beside; rows/s $full, $slowed)" >&2; exit 1; }
  end_children
  echo "$alone $coming $beside $full $slowed $after" | tee -a "$work/steps" |
    awk '{printf "  p95 %.1f ms alone; × %.2f in the first ten seconds, × %.2f in the next; rows/s %d alone, %d beside, %d from ten seconds after on\n",
      $2 / 1000, $5 / $2, $8 / $2, $10, $11, $12}'
done
awk "$median"'
  { a[NR] = $5 / $2; b[NR] = $8 / $2; c[NR] = $12 / $10; d[NR] = $11 }
  END { printf "step: p95 × %.2f within ten seconds of its coming, × %.2f after (%d rows/s); %.2f of full speed ten seconds after it went\n", median(a, NR), median(b, NR), median(d, NR), median(c, NR) }' "$work/steps" | tee "$out/step.txt"
