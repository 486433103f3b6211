#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <grpcpp/channel.h>

namespace dunlin {

// "host:port" with a port of 1 to 65535; IPv6 in brackets. INVALID_ARGUMENT otherwise.
absl::Status ValidateAddress(absl::string_view address);
// Whether the host part is loopback (127.0.0.0/8, ::1, localhost) or a unix socket.
bool IsLoopback(absl::string_view address);

// A channel with keepalive, message limits and a short reconnect back-off. Plaintext (TLS comes
// with its own issue).
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address);

}  // namespace dunlin
