#pragma once

#include <optional>

#include "absl/time/time.h"

#include "common/secret.h"
#include "coordinator/notify/notice_template.h"

namespace dunlin::coordinator {

struct NotifyOptions {
  Secret url;                           // empty = nobody is told anything
  std::optional<NoticeTemplate> shape;  // of what is posted; nothing = all fields of a notice
  // A run of which nothing has moved for so long is told of, once until it moves again.
  absl::Duration stall_after = absl::Minutes(10);
  absl::Duration look_every = absl::Seconds(1);
};

}  // namespace dunlin::coordinator
