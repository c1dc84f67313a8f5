// What one text says of one account.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "countermark/tracer.h"
#include "detect/likelihood.h"
#include "keys/derivation.h"
#include "trace/wide_layer.h"

namespace countermark::trace {

/// A text, and all that is the same for every account.
class Weighing {
 public:
  /// `probabilities` are those of the layer's positions, or none: a language model is not at hand.
  /// The caller keeps the layer alive.
  Weighing(const WideLayer& layer, std::span<const double> probabilities, Start start);

  bool has_likelihood() const noexcept { return likelihood_.has_value(); }

  /// What the search adds up for each position, by the cell of U; empty without a likelihood.
  std::vector<std::span<const std::int32_t>> weights() const;

  /// Scores, p-value and e-value of an account, or of none, paid for the starts.
  AccountCandidate weigh(std::optional<std::uint64_t> account,
                         const std::optional<keys::AccountKey>& key) const;

  /// With a likelihood: what log10_e would be if the text were marked.
  double expected_log10_e() const;

 private:
  struct Likelihood {
    std::vector<double> probabilities;
    /// The same step in both, so that one search serves them.
    detect::LikelihoodTest whole, response;
    /// The tables of `whole` for each position.
    std::vector<std::vector<std::int32_t>> tables;
    std::vector<std::size_t> table_of;
  };

  void weigh_likelihood(std::span<const double> rests, AccountCandidate& candidate) const;

  const WideLayer& layer_;
  Start start_;
  std::optional<Likelihood> likelihood_;
};

}  // namespace countermark::trace
