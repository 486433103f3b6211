# Draws what `script/bench interference` wrote: the application's p95 beside something, as a ratio to alone, over the rows per
# second that it moved meanwhile; both axes logarithmic. Left and low is harmless, right is fast.
#   awk -f bench/curve.awk build/bench/interference.txt > docs/interference.svg
function x(rows) { return left + (width - left - right) * log(rows / rows_min) / log(rows_max / rows_min) }
function y(ratio) { return height - bottom - (height - top - bottom) * log(ratio / ratio_min) / log(ratio_max / ratio_min) }
function line(x1, y1, x2, y2, class) { printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class }
function text(x1, y1, anchor, words) { printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x1, y1, anchor, words }
# At 1, 2 and 5 of each power of ten.
function ticks_of_rows(   power, i, at) {
  for (power = 1; power <= rows_max; power *= 10)
    for (i = 1; i <= 3; i++) {
      at = power * substr("125", i, 1)
      if (at < rows_min || at > rows_max) continue
      line(x(at), top, x(at), height - bottom, "grid")
      text(x(at), height - bottom + 16, "middle", at >= 1000 ? at / 1000 "k" : at)
    }
}
function ticks_of_ratio(   power, i, at) {
  for (power = 1; power <= ratio_max; power *= 10)
    for (i = 1; i <= 3; i++) {
      at = power * substr("125", i, 1)
      if (at < ratio_min || at > ratio_max) continue
      line(left, y(at), width - right, y(at), "grid")
      text(left - 6, y(at) + 4, "end", at "×")
    }
}
BEGIN {
  width = 760; height = 440; left = 56; right = 24; top = 24; bottom = 48
  rows_min = 1000; rows_max = 1000; ratio_min = 0.8; ratio_max = 2
}
/^interference:/ { title = substr($0, 15); next }
/^beside/ || !NF { next }
{
  names[++n] = substr($0, 1, 34); sub(/ +$/, "", names[n])
  ratios[n] = $(NF - 3); rows[n] = $NF
  if (rows[n] > rows_max) rows_max = rows[n]
  if (rows[n] > 0 && rows[n] < rows_min) rows_min = rows[n]
  if (ratios[n] > ratio_max) ratio_max = ratios[n]
}
END {
  rows_max *= 1.3; rows_min /= 1.3; ratio_max *= 1.3
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height
  print "<style>.grid{stroke:#ddd}.goal{stroke:#080;stroke-dasharray:5 4}.loop{fill:#888}.dunlin{fill:#06c}.update{fill:#c00}</style>"
  print "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
  ticks_of_rows(); ticks_of_ratio()
  line(left, y(1.25), width - right, y(1.25), "goal")
  text(width - right, y(1.25) - 4, "end", "goal: 1.25×")
  text((left + width - right) / 2, height - 10, "middle", "rows per second moved")
  text(left, top - 8, "start", "p95 of the application, as a ratio to alone —" title)
  for (i = 1; i <= n; i++) {
    # A side that moved nothing to be seen (an UPDATE that has not committed) has no place on a logarithmic axis.
    if (rows[i] <= 0) continue
    class = names[i] ~ /^dunlin/ ? "dunlin" : names[i] ~ /^loop/ ? "loop" : "update"
    printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" class=\"%s\"><title>%s: %s×, %d rows/s</title></circle>\n", x(rows[i]), y(ratios[i]), class == "dunlin" ? 7 : 4, class, names[i], ratios[i], rows[i]
    if (class != "loop") text(x(rows[i]) + 10, y(ratios[i]) + 4, "start", names[i])
  }
  print "</svg>"
}
