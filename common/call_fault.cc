#include "common/call_fault.h"

#ifdef DUNLIN_FAULTS

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/log.h"
#include "common/mutex.h"

namespace dunlin {
namespace {

struct Calls {
  Mutex mutex;
  std::map<std::string, int> counted ABSL_GUARDED_BY(mutex);
  std::string failing ABSL_GUARDED_BY(mutex);  // "<point> <label>"; empty = none
  int nth ABSL_GUARDED_BY(mutex) = 0;
  CallFault fault ABSL_GUARDED_BY(mutex);
  bool hit ABSL_GUARDED_BY(mutex) = false;
};

Calls& All() {
  static auto* calls = new Calls;
  return *calls;
}

thread_local const char* current_purpose = nullptr;

bool ParseWay(absl::string_view text, CallFault& fault) {
  int hang_ms = 0;
  if (text == "before") {
    fault = CallFault(CallFault::Way::kBefore, {});
  } else if (text == "after") {
    fault = CallFault(CallFault::Way::kAfter, {});
  } else if (absl::StartsWith(text, "hang:") && absl::SimpleAtoi(text.substr(5), &hang_ms)) {
    fault = CallFault(CallFault::Way::kHang, absl::Milliseconds(hang_ms));
  } else {
    return false;
  }
  return true;
}

}  // namespace

CallPurpose::CallPurpose(const char* purpose) { current_purpose = purpose; }
CallPurpose::~CallPurpose() { current_purpose = nullptr; }

CallFault NextCall(absl::string_view point, const std::string& label) {
  Calls& calls = All();
  std::string call = absl::StrCat(point, " ", label);
  if (current_purpose != nullptr) absl::StrAppend(&call, " for ", current_purpose);
  MutexLock lock(calls.mutex);
  const int count = ++calls.counted[call];
  if (call != calls.failing || count != calls.nth) return {};
  calls.hit = true;
  LOG(INFO) << Event("call_fails").Kv("call", call).Kv("occurrence", count);
  return calls.fault;
}

absl::Status SetCallFault(absl::string_view spec) {
  const size_t equals = spec.rfind('=');  // a label may hold others
  const size_t at = spec.rfind('@');
  CallFault fault;
  int nth = 0;
  if (!spec.empty()) {
    if (equals == spec.npos || at == spec.npos || at < equals ||
        !ParseWay(spec.substr(equals + 1, at - equals - 1), fault) ||
        !absl::SimpleAtoi(spec.substr(at + 1), &nth)) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a call that fails: '", spec, "'; expected CALL=WAY@N"));
    }
  }
  Calls& calls = All();
  MutexLock lock(calls.mutex);
  calls.counted.clear();
  calls.failing = std::string(spec.empty() ? spec : spec.substr(0, equals));
  calls.nth = nth;
  calls.fault = fault;
  calls.hit = false;
  return absl::OkStatus();
}

bool CallFaultHit() {
  Calls& calls = All();
  MutexLock lock(calls.mutex);
  return calls.hit;
}

std::map<std::string, int> CallsCounted() {
  Calls& calls = All();
  MutexLock lock(calls.mutex);
  return calls.counted;
}

}  // namespace dunlin

#endif  // DUNLIN_FAULTS
