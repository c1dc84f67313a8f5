// The number that another engine would give.
#pragma once

#include <cstddef>
#include <string>

namespace countermark {

/// What another engine's own detector says of a text, to lay beside ours.
struct EngineResult {
  std::size_t scored = 0;
  double score = 0.0;
  /// log10 of its p-value, as it is; NaN where the engine gives none.
  double log10_p = 0.0;
  /// What it is, and where it is wrong.
  std::string remark;
};

}  // namespace countermark
