#include "coordinator/notify/http_post.h"

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <curl/curl.h>

namespace dunlin::coordinator {
namespace {

constexpr long kTimeoutMs = 10'000;
constexpr long kConnectTimeoutMs = 5'000;

size_t Discard(char*, size_t size, size_t count, void*) { return size * count; }

}  // namespace

absl::Status CheckNotifyUrl(const Secret& url) {
  const std::string& text = url.Reveal();
  const bool http = absl::StartsWith(text, "http://") || absl::StartsWith(text, "https://");
  if (http && text.find(' ') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError("--notify expects a URL that begins with http:// or https://");
}

absl::Status PostJson(const Secret& url, const std::string& body) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(),
                                                                   &curl_easy_cleanup);
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      curl_slist_append(nullptr, "Content-Type: application/json"), &curl_slist_free_all);
  if (handle == nullptr || headers == nullptr)
    return absl::UnavailableError("no memory for an HTTP request");
  CURL* curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_URL, url.Reveal().c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Discard);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) return absl::UnavailableError(curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the answer was HTTP ", status));
}

}  // namespace dunlin::coordinator
