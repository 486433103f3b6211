#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/time/time.h"

#include "agent/signals/recent_mean.h"
#include "agent/signals/signal.h"

namespace dunlin::agent {

// How many transactions others have open at once, on the average, against what it is while Dunlin
// does little. By Little's law (Operations Research 9/3, 1961) it is their rate times what each
// takes: at the same rate it grows as they get slower, whatever makes them slow, a busy core, a
// lock, or the disk under their commits. What it varies by from second to second by chance counts
// as normal too, and so much of each transaction as nobody feels. Pure. One thread.
class CrowdingWatch {
 public:
  // A look: others' open transactions; whether a session of Dunlin's was in one.
  void Note(int64_t open, bool works) {
    open_.Add(static_cast<double>(open));
    beside_.Add(works ? 1 : 0);
    if (!works) rest_.Add(static_cast<double>(open));
  }
  // How many transactions have ended in the database since its counters began, at a monotonic time.
  // Sessions tell of theirs once a second.
  void NoteEnded(int64_t transactions, absl::Duration now) {
    const bool counted = ended_at_ > absl::ZeroDuration() && now > ended_at_;
    if (counted && transactions >= ended_) {
      const double rate =
          static_cast<double>(transactions - ended_) / absl::ToDoubleSeconds(now - ended_at_);
      rate_ += (rate_ == 0 ? 1 : kWeight) * (rate - rate_);
    }
    ended_ = transactions;
    ended_at_ = now;
  }
  // Once a second. Nothing before Dunlin has done little for a while.
  void Report(std::vector<SignalSample>& samples) {
    const RecentMean::Sum latest = open_.latest(), at_rest = rest_.latest();
    if (latest.count == 0) return;
    // What was normal while nobody was there is not what is normal for whoever comes.
    seconds_without_others_ = latest.of == 0 ? seconds_without_others_ + 1 : 0;
    if (seconds_without_others_ >= kAloneSeconds) {
      const int seconds = seconds_without_others_;
      *this = CrowdingWatch();
      seconds_without_others_ = seconds;
      return;
    }
    open_.EndSecond();
    beside_.EndSecond();
    rest_.EndSecond();
    const bool little = beside_.steady() <= kLittle && rest_.count() > 0;
    if (beside_.steady() > kLittle) ++seconds_busy_;
    if (known_) {
      NoteSpread(latest.Mean());
      Follow(little);
    } else if (little || (seconds_busy_ > kSecondsToWait && rest_.count() > 0)) {
      // Several runs never do little: then what is between their batches must serve.
      Learn(at_rest);
    }
    if (known_) {
      samples.push_back({.kind = SignalKind::kOpenTransactions,
                         .value = open_.value(),
                         .baseline = normal_ + Chance() + rate_ * kNobodyFeels});
    }
  }

 private:
  static constexpr double kLittle = 0.33;
  static constexpr double kLooksToKnow = 60;
  static constexpr double kWeight = 0.1;
  // Beside so much of Dunlin's work what is seen says hardly anything about what is normal.
  static constexpr double kHardlyBeside = 0.15, kLeastIdle = 0.1;
  static constexpr double kSpreadWeight = 0.05;
  // Half as much again as the standard error of a mean of some seven seconds.
  static constexpr double kErrorOfMean = 0.5;
  static constexpr int kSecondsToKnow = 5, kSecondsToWait = 20;
  // Seconds of a transaction: a network's round trip varies by more.
  static constexpr double kNobodyFeels = 50e-6;
  static constexpr int kAloneSeconds = 3;  // as long as the coordinator waits before it says so

  // The quietest two seconds of the first few: whoever has just come may still have to catch up
  // with what it waited for.
  void Learn(const RecentMean::Sum& at_rest) {
    looks_ += at_rest.count;
    if (++seconds_ > 2)
      normal_ = seconds_ == 3 ? rest_.recent() : std::min(normal_, rest_.recent());
    known_ = seconds_ >= kSecondsToKnow && looks_ >= kLooksToKnow;
  }
  // By what one second differs from the one before (von Neumann, Annals of Mathematical Statistics
  // 12/4, 1941): a step that lasts, which may be Dunlin's doing, counts once.
  void NoteSpread(double second) {
    if (++seconds_known_ > 1) {
      const double weight = std::max(kSpreadWeight, 1.0 / (seconds_known_ - 1));
      // A second of a lock that everybody waits for says nothing about the others.
      const double off = std::clamp(second - second_before_, -normal_ / 2, normal_ / 2);
      variance_ += weight * (off * off / 2 - variance_);
    }
    second_before_ = second;
  }
  // How far what is reported may be off by chance.
  double Chance() const { return kErrorOfMean * std::sqrt(variance_); }
  // Dunlin only adds to it: what is less than chance could make it is news at any time. More may be
  // what still waits for the batch before, or for a disk that Dunlin keeps busy: it says the less
  // the more Dunlin does.
  void Follow(bool little) {
    const double seen = little ? rest_.steady() : open_.steady();
    const double idle = std::max(kLeastIdle, 1 - beside_.steady() / kHardlyBeside);
    if (seen < normal_ - Chance()) {
      normal_ += kWeight * (seen - normal_);
    } else if (seen < normal_ || little) {
      normal_ += kWeight * idle * (seen - normal_);
    }
  }

  RecentMean open_, beside_;
  RecentMean rest_;  // looks while none of Dunlin's sessions was in a transaction
  bool known_ = false;
  double normal_ = 0, looks_ = 0;
  int seconds_ = 0;                          // that it was learned from
  double second_before_ = 0, variance_ = 0;  // of single seconds
  int seconds_known_ = 0;
  double rate_ = 0;  // of transactions that end, Dunlin's few among them, a second
  int64_t ended_ = 0;
  absl::Duration ended_at_;
  int seconds_busy_ = 0;
  int seconds_without_others_ = 0;
};

}  // namespace dunlin::agent
