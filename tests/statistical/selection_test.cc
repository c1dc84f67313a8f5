// A single token, over many keys: it is drawn from the model's distribution.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "prf/mix.h"
#include "statistical/many_keys.h"

using namespace countermark;

namespace {

struct Shape {
  const char* name;
  std::vector<double> probabilities;
};

std::vector<double> normalised(std::vector<double> weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= total;
  return weights;
}

std::vector<Shape> shapes() {
  std::vector<double> geometric, harmonic;
  for (int i = 0; i < 20; ++i) geometric.push_back(std::pow(0.7, i));
  for (int i = 0; i < 1000; ++i) harmonic.push_back(1.0 / (i + 1));
  return {{"near-certain", {0.999, 0.0007, 0.0003}},
          {"flat", std::vector<double>(50, 0.02)},
          {"two equal", {0.5, 0.5}},
          {"geometric", normalised(geometric)},
          {"a thousand", normalised(harmonic)}};
}

struct Where {
  const char* name;
  ProfileOptions options;
  std::optional<std::uint64_t> account;
  Layer layer;
};

std::vector<Where> places() {
  ProfileOptions narrow = test::marked_options(), wide = narrow, accounts = narrow, free = narrow;
  narrow.purpose = Purpose::Distillation;
  wide.purpose = Purpose::Provenance;
  // An account needs a narrow layer: one context in 65536.
  accounts.accounts = true;
  accounts.narrow_units = 1;
  free.free_prefix = 1000;
  return {{"narrow", narrow, {}, Layer::Narrow},
          {"wide", wide, {}, Layer::Wide},
          {"wide with account", accounts, 7, Layer::WideAccount},
          {"free prefix", free, {}, Layer::Free}};
}

/// Draws at fresh contexts, `draws` in all; `see(token, placement)` is told of each.
template <typename See>
void draw(const Where& where, const std::vector<double>& probabilities, std::size_t draws,
          See&& see) {
  constexpr std::size_t contexts = 5, first = 4;
  const test::ManyKeys keys(where.options);
  const test::Tokens ids = test::first_ids(probabilities.size());
  for (std::uint64_t n = 0; n < draws / contexts; ++n) {
    Sequence sequence = keys.sequence(n, where.account);
    // Ids from 2^31 on: no context comes twice.
    const test::Tokens path = test::random_tokens(first + contexts, std::uint64_t{1} << 31, n);
    for (std::size_t i = 0; i < path.size(); ++i) {
      if (i >= first) {
        TokenId token = -1;
        REQUIRE(sequence.select_candidates(ids, probabilities, token) == ErrorCode::Ok);
        see(token, sequence.placement());
      }
      REQUIRE(sequence.observe(path[i]) == ErrorCode::Ok);
    }
  }
}

}  // namespace

TEST_CASE("Selection: over many keys each token comes with the model's probability") {
  const std::vector<Shape> all = shapes();
  const std::vector<Where> layers = places();
  const double bound = test::false_alarm_rate / static_cast<double>(all.size() * layers.size());
  for (const Where& where : layers) {
    for (const Shape& shape : all) {
      CAPTURE(where.name);
      CAPTURE(shape.name);
      std::vector<std::size_t> counts(shape.probabilities.size());
      std::size_t in_layer = 0, drawn = 0;
      draw(where, shape.probabilities, 20000, [&](TokenId token, const Placement& placement) {
        ++counts[static_cast<std::size_t>(token)];
        in_layer += placement.layer == where.layer;
        ++drawn;
      });
      // All but the few contexts that are narrow in a profile with accounts.
      CHECK(in_layer + 20 >= drawn);
      CHECK(test::chi_square_p(counts, shape.probabilities) > bound);
    }
  }
}

TEST_CASE("Selection: a winner's score is as expected_log10_p takes it to be") {
  // Given that a token of probability p won, U^(1/p) is uniform: hence the mean score H(1/p).
  const std::vector<double> probabilities = {0.6, 0.3, 0.1};
  for (const Where& where : places()) {
    if (where.layer == Layer::Free) continue;
    CAPTURE(where.name);
    std::vector<std::vector<double>> uniforms(3);
    draw(where, probabilities, 20000, [&](TokenId token, const Placement& placement) {
      std::uint64_t h =
          prf::mix(placement.k1, placement.k2, static_cast<std::uint64_t>(token) << 32);
      if (placement.layer == Layer::WideAccount) h = prf::mix(placement.a1, placement.a2, h);
      const auto i = static_cast<std::size_t>(token);
      uniforms[i].push_back(std::pow(prf::uniform(h), 1.0 / probabilities[i]));
    });
    for (const auto& values : uniforms) {
      CHECK(test::uniformity_p(values) > test::false_alarm_rate / 9.0);
    }
  }
}
