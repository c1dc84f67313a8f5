// What a token is drawn from.
#pragma once

#include "countermark/token.h"

namespace countermark::marks {

struct Candidate {
  TokenId token;
  /// Probability up to scale; more than 0.
  double weight;
};

}  // namespace countermark::marks
