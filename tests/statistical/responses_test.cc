// Whole responses, over many keys: with repeat masking they follow the model, without it they do
// not.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "keys/aes.h"
#include "keys/derivation.h"
#include "statistical/many_keys.h"

using namespace countermark;

namespace {

constexpr std::size_t responses = 30000;

/// The number of a response among all of its length, and its probability under the model that draws
/// every token by `probabilities`.
std::size_t index_of(std::span<const TokenId> response, std::size_t vocab_size) {
  std::size_t index = 0;
  for (const TokenId token : response) index = index * vocab_size + static_cast<std::size_t>(token);
  return index;
}

std::vector<double> product_model(const std::vector<double>& probabilities, std::size_t length) {
  std::vector<double> all = {1.0};
  for (std::size_t i = 0; i < length; ++i) {
    std::vector<double> longer;
    for (const double head : all) {
      for (const double p : probabilities) longer.push_back(head * p);
    }
    all = std::move(longer);
  }
  return all;
}

struct Case {
  const char* name;
  std::vector<double> probabilities;
  std::size_t length;
  ProfileOptions options;
  std::optional<std::uint64_t> account;
};

/// Contexts repeat by necessity: there are fewer of them than positions.
std::vector<Case> cases() {
  ProfileOptions short_contexts = test::marked_options();
  short_contexts.narrow_width = 1;
  short_contexts.wide_width = 2;
  ProfileOptions reversed = short_contexts;
  reversed.narrow_width = 2;
  reversed.wide_width = 1;
  ProfileOptions narrow = short_contexts;
  narrow.purpose = Purpose::Distillation;
  narrow.wide_width = 1;
  ProfileOptions prefixed = short_contexts;
  prefixed.free_prefix = 3;
  prefixed.free_units = 10000;
  ProfileOptions accounts = short_contexts;
  accounts.accounts = true;
  return {{"widths 1 and 2", {0.5, 0.3, 0.2}, 6, short_contexts, {}},
          {"widths 2 and 1", {0.5, 0.5}, 8, reversed, {}},
          {"everything narrow", {0.7, 0.3}, 8, narrow, {}},
          {"free prefix and free contexts", {0.6, 0.4}, 8, prefixed, {}},
          {"account", {0.5, 0.3, 0.2}, 6, accounts, 7}};
}

/// A response as a sampler without repeat masking would draw it: every position from the raw seed
/// of its context. `masked` leaves used seeds to chance, as the mark does; the difference is all
/// that the second test is about.
test::Tokens draw_raw(std::uint64_t n, const std::vector<double>& probabilities, std::size_t length,
                      bool masked) {
  keys::Aes cipher(keys::derive(test::secret(n), "narrow"));
  std::mt19937_64 random(n);
  std::vector<keys::Seed> used;
  test::Tokens response;
  while (response.size() < length) {
    keys::Seed seed = {random(), random()};
    if (!response.empty()) {
      constexpr std::uint32_t none = 0xFFFFFFFF;
      keys::Seed context;
      REQUIRE(
          cipher.encrypt({none, none, none, static_cast<std::uint32_t>(response.back())}, context));
      if (!masked || std::ranges::find(used, context) == used.end()) seed = context;
      used.push_back(context);
    }
    const marks::TokenHash hash{seed, {}};
    marks::Selection selection;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
      const auto token = static_cast<TokenId>(i);
      selection.offer(token, prf::exponential(hash(token)), probabilities[i]);
    }
    response.push_back(selection.token());
  }
  return response;
}

}  // namespace

TEST_CASE("Response: over many keys whole responses follow the model, though contexts repeat") {
  const std::vector<Case> all = cases();
  for (const Case& c : all) {
    CAPTURE(c.name);
    const test::ManyKeys keys(c.options);
    const test::Tokens ids = test::first_ids(c.probabilities.size());
    const std::vector<double> model = product_model(c.probabilities, c.length);
    std::vector<std::size_t> counts(model.size());
    std::size_t marked = 0;
    for (std::uint64_t n = 0; n < responses; ++n) {
      Sequence sequence = keys.sequence(n, c.account);
      for (std::size_t i = 0; i < c.length; ++i) {
        TokenId token = -1;
        REQUIRE(sequence.select_candidates(ids, c.probabilities, token) == ErrorCode::Ok);
        marked += sequence.placement().layer != Layer::Free;
        REQUIRE(sequence.observe(token) == ErrorCode::Ok);
      }
      ++counts[index_of(sequence.tokens(), ids.size())];
    }
    // A good part is drawn by the mark, and yet:
    CHECK(marked > responses);
    CHECK(test::chi_square_p(counts, model) >
          test::false_alarm_rate / static_cast<double>(all.size()));
  }
}

TEST_CASE("Response: the same test tells a sampler that does not mask repeats") {
  const std::vector<double> probabilities = {0.7, 0.3};
  constexpr std::size_t length = 8;
  const std::vector<double> model = product_model(probabilities, length);
  for (const bool masked : {true, false}) {
    CAPTURE(masked);
    std::vector<std::size_t> counts(model.size());
    for (std::uint64_t n = 0; n < responses; ++n) {
      ++counts[index_of(draw_raw(n, probabilities, length, masked), probabilities.size())];
    }
    const double p = test::chi_square_p(counts, model);
    CHECK((masked ? p > test::false_alarm_rate : p < 1e-100));
  }
}
