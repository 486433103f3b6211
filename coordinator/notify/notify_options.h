#pragma once

#include "absl/time/time.h"

#include "common/secret.h"

namespace dunlin::coordinator {

enum class NoticeFormat { kJson, kSlack };

struct NotifyOptions {
  Secret url;  // empty = nobody is told anything
  NoticeFormat format = NoticeFormat::kJson;
  // A run of which nothing has moved for so long is told of, once until it moves again.
  absl::Duration stall_after = absl::Minutes(10);
  absl::Duration look_every = absl::Seconds(1);
};

}  // namespace dunlin::coordinator
