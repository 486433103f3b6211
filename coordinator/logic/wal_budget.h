// limits.wal_bytes_per_second: how many rows a second make so much WAL. Pure.
#pragma once

#include <cstdint>
#include <optional>

namespace dunlin::coordinator {

struct WalFacts {
  int64_t limit = 0;               // bytes a second, of the whole server, whoever writes them
  std::optional<double> measured;  // bytes a second, of the latest seconds
  double rows_per_second = 0;      // of this run, in the same seconds
};

// The rows a second that a run may do, asked once a second. What a row costs is not known before
// and changes (a page's first change after a checkpoint is logged whole), and what others write
// counts too: so the rows follow what is measured. At a steady load they settle where the server
// writes nine tenths of the limit; a run that others leave nothing of it goes on at ten rows a
// second. `before`: what this said last; 0 = never asked, then each row is taken to be dear.
double WalRowsPerSecond(double before, const WalFacts& facts);

}  // namespace dunlin::coordinator
