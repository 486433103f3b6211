// Every bound on count and size that crosses the network or is kept in memory, with its why. Times
// that are contracts too.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace dunlin {

// A migration file is read and reviewed by people; 1 MiB is far beyond that, and small against
// gRPC's 4 MiB default.
inline constexpr int64_t kMaxDefinitionBytes = 1 << 20;
inline constexpr int64_t kMaxNameBytes = 200;     // migration, target, agent and operator names
inline constexpr int64_t kMaxReasonBytes = 4096;  // reasons, problems
inline constexpr int64_t kMaxKeyBytes =
    8192;                                  // all columns of a key; btree entries end at 2,704 bytes
inline constexpr int kMaxKeyColumns = 32;  // PostgreSQL's INDEX_MAX_KEYS
inline constexpr int kMaxKeptColumns =
    32;  // of `undo: {keep: …}`: a before-image is a small array of text
inline constexpr int kMaxParameters = 64;
inline constexpr int kMaxLabels = 32;
inline constexpr int kMaxTargetsPerAgent = 256;
inline constexpr int kMaxTablesPerQuestion = 256;
inline constexpr int kMaxTargetsPerMigration = 1000;  // a run each
inline constexpr int kMaxSlotsPerAgent = 256;
inline constexpr int kMaxLeasesPerCall = 256;
inline constexpr int kMaxShardsPerStep = 65536;
// Each row that fails alone costs a dozen transactions, and its key is kept in the store.
inline constexpr int64_t kMaxQuarantined = 10'000;
inline constexpr int kMaxQuarantinedPerReport = 256;
inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;
// A full plan or reconcile report: kMaxShardsPerStep shards with short keys; long keys mean fewer
// shards.
inline constexpr int kMaxMessageBytes = 32 << 20;

inline constexpr absl::Duration kDefaultLeaseTtl = absl::Seconds(15);
// A watch tells at least so often that it is alive (trap 18).
inline constexpr absl::Duration kWatchProgressInterval = absl::Seconds(5);
// Read commands give up after it.
inline constexpr absl::Duration kReadCommandTimeout = absl::Seconds(10);
// Answers to request ids are kept for so long (AIP-155).
inline constexpr absl::Duration kRequestIdRetention = absl::Hours(24 * 7);

}  // namespace dunlin
