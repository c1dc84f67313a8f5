// The draw from a whole row of logits without its weights: docs/spec/countermark-1.md, section 6,
// by way of the few tokens that can win.
#pragma once

#include "countermark/error.h"
#include "embed/blocked_row.h"
#include "marks/countermark_1.h"

namespace countermark::embed {

struct Winner {
  TokenId token = 0;
  float logit = 0.0F;
  /// The largest of the row.
  float largest = 0.0F;
  /// Whether no other token has a weight above 0.
  bool is_alone = false;
  /// False for logits or a temperature at the ends of what floats hold: the weights have to be
  /// computed, and nothing is known of the row.
  bool is_decided = false;
};

/// The token that Selection takes of all tokens with their weights exp((x - largest) /
/// temperature); `temperature` is above 0. -ln U >= 1 - U, so that one comparison of integers
/// passes over a token, and a handful are left for logarithms.
/// Returns InvalidLogits or NoCandidate, and otherwise Ok, whether decided or not.
ErrorCode race(const BlockedRow& row, double temperature, const marks::TokenHash& hash,
               Winner& winner);

}  // namespace countermark::embed
