#include "marks/marks.h"

#include <string>

#include "base/fail.h"
#include "marks/countermark_1.h"

namespace countermark::marks {
namespace {

constexpr MarkEntry entries[] = {
    {"countermark/1", &complete_countermark_1},
};

}  // namespace

const MarkEntry& find(std::string_view name) {
  std::string known;
  for (const MarkEntry& entry : entries) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  fail(ErrorCode::UnknownMark, "unknown mark \"", name, "\"; this version has: ", known);
}

}  // namespace countermark::marks
