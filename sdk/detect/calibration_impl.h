// What is behind a Calibration: for the detector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "countermark/calibration.h"
#include "detect/common_ngrams.h"

namespace countermark {

struct Calibration::Impl {
  std::string profile, key_id;
  /// Of the mark: n-grams are cut by its widths, and rates belong to its layers.
  base::Json parameters;
  std::size_t documents = 0;
  std::size_t common_in = 0;
  /// Increasing.
  std::vector<std::uint64_t> hashes;
  detect::CommonNgrams common;
  std::vector<MeasuredRates> rates;
};

}  // namespace countermark
