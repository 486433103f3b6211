#pragma once

#include <string>

#include "absl/status/status.h"

#include "common/secret.h"

namespace dunlin::coordinator {

// http:// or https://, without a blank. INVALID_ARGUMENT never shows the URL, which may hold a
// secret.
absl::Status CheckNotifyUrl(const Secret& url);

// POSTs JSON; anything but an answer of 2xx is UNAVAILABLE, in words without the URL (I8). Follows
// no redirection. Blocking: ten seconds at most.
absl::Status PostJson(const Secret& url, const std::string& body);

}  // namespace dunlin::coordinator
