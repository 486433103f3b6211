#pragma once

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/fault.h"
#include "common/migration/name.h"
#include "common/status_macros.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"

namespace dunlin::coordinator {

// The request without its id, so that retries of one command are told from another command under
// the same id.
template <typename Request>
std::string FingerprintOf(Request request) {
  request.clear_request_id();
  std::string text = absl::StrCat(request.GetTypeName(), "\n");
  {
    google::protobuf::io::StringOutputStream out(&text);
    google::protobuf::io::CodedOutputStream coded(&out);
    coded.SetSerializationDeterministic(true);  // else maps come in another order each time
    request.SerializeToCodedStream(&coded);
  }
  return DigestOf(text);
}

// I6: the answer is stored in the transaction of the change, so that the same request id again
// gives the same answer.
template <typename Request, typename Response>
absl::StatusOr<Response> Store::Idempotent(
    const Request& request, const std::function<absl::Status(Transaction&, Response&)>& body) {
  if (request.request_id().empty()) return absl::InvalidArgumentError("request_id is missing");
  const std::string fingerprint = FingerprintOf(request);
  Response response;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    response.Clear();
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result known,
                            tx.Query(sql::kFindRequest, {request.request_id()}));
    if (!known.rows.empty()) {
      if (known.Text(0, 0) != fingerprint) {
        return absl::InvalidArgumentError("this request_id was used for another request");
      }
      if (!response.ParseFromString(absl::HexStringToBytes(known.Text(0, 1)))) {
        return absl::DataLossError("a stored answer cannot be read");
      }
      return absl::OkStatus();
    }
    DUNLIN_RETURN_IF_ERROR(body(tx, response));
    if (DUNLIN_MUTANT("request_id_not_stored")) return absl::OkStatus();
    return tx.Run(sql::kInsertRequest, {request.request_id(), fingerprint,
                                        absl::BytesToHexString(response.SerializeAsString())});
  }));
  return response;
}

}  // namespace dunlin::coordinator
