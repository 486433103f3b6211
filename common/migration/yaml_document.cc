#include "common/migration/yaml_document.h"

#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include <yaml-cpp/eventhandler.h>

namespace dunlin {
namespace {

// Notes where the document that was read last begins.
class DocumentStart : public YAML::EventHandler {
 public:
  const YAML::Mark& mark() const { return mark_; }
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  YAML::Mark mark_ = YAML::Mark::null_mark();
};

}  // namespace

// The only place where yaml-cpp may throw. Not YAML::LoadAll: behind a stray '}' it makes empty
// documents for ever (0.7).
std::optional<YAML::Node> LoadDocument(ProblemList& problems) {
  const std::string text(problems.text());
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    DocumentStart document;
    if (parser.HandleNextDocument(document) && parser.HandleNextDocument(document)) {
      problems.Add(
          document.mark(), "",
          "the YAML document ends before this; what follows is a second one or broken, and a "
          "file is one migration or one test, so one document");
      return std::nullopt;
    }
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    problems.Add(error.mark, "", absl::StrCat("the YAML is broken: ", error.msg));
  } catch (const std::exception& error) {
    problems.AddForFile(absl::StrCat("the YAML cannot be read: ", error.what()));
  }
  return std::nullopt;
}

}  // namespace dunlin
