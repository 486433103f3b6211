// What is told of a run, and how. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "dunlin/v1/run.pb.h"

#include "coordinator/notify/notice_template.h"

namespace dunlin::coordinator {

namespace pb = ::dunlin::v1;

// A template over the fields that every notice has; errors as there.
absl::StatusOr<NoticeTemplate> ParseNoticeTemplate(const std::string& file,
                                                   const std::string& text);

// Whether that kind of event concerns people who are not looking: changes of state, and rows that
// were set aside. A problem is told by the change of state that it makes.
bool IsNoticeable(const pb::RunEvent& event);
// The event that says that a run does not get on; nothing when that is as it should be: a window is
// closed, it waits for another run or for a person. `still`: nothing of it has moved for a while.
std::optional<pb::RunEvent> StallOf(const pb::Run& run, bool still);
// The same as long as nothing of the run moves.
std::string ProgressMark(const pb::Run& run);

// The body of a POST: all fields, or what `shape` makes of them. `run` is as it is now, which may
// be later than the event.
std::string NoticeBody(const pb::Run& run, const pb::RunEvent& event,
                       const std::optional<NoticeTemplate>& shape);

}  // namespace dunlin::coordinator
