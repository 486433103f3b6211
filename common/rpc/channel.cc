#include "common/rpc/channel.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "common/limits.h"

namespace dunlin {
namespace {

// Splits at the last colon; false when there is none.
bool SplitAddress(absl::string_view address, absl::string_view& host, absl::string_view& port) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return false;
  host = address.substr(0, colon);
  port = address.substr(colon + 1);
  return true;
}

}  // namespace

absl::Status ValidateAddress(absl::string_view address) {
  absl::string_view host, port;
  int number = 0;
  if (!SplitAddress(address, host, port) || host.empty() || !absl::SimpleAtoi(port, &number) ||
      number < 0 || number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", address, "' is not an address; expected HOST:PORT, such as 127.0.0.1:7070"));
  }
  return absl::OkStatus();
}

bool IsLoopback(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  absl::string_view host, port;
  if (!SplitAddress(address, host, port)) return false;
  return host == "localhost" || host == "[::1]" || absl::StartsWith(host, "127.");
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  // Streams die silently behind proxies (trap 18).
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A restarted coordinator is found again within a second.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

}  // namespace dunlin
