// How often unmarked documents have a p-value below 10^-1 to 10^-6, over many keys: each of the
// library's statistics, on the texts that bench/truth.py prepares. Prints JSON.
//
//     countermark_null_rates level0 DOCUMENTS TOKENS KEYS
//     countermark_null_rates likelihood DOCUMENTS TOKENS KEYS PROBABILITIES
//     countermark_null_rates replay DOCUMENTS TOKENS KEYS CANDIDATES WEIGHTS
//
// DOCUMENTS holds documents of TOKENS token ids each (int32); PROBABILITIES a double for each
// token; CANDIDATES eight ids (int32) and WEIGHTS eight doubles for each token, the token itself
// among them. The keys are the secrets 0, 1, 2, ..., and the counts are by document.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/workers.h"
#include "detect/examination.h"
#include "detect/likelihood.h"
#include "detect/rests.h"
#include "detect/scan.h"
#include "detect/sum.h"
#include "marks/text_walk.h"
#include "replay/draw_evidence.h"
#include "stats/gamma_tail.h"
#include "stats/goodness_of_fit.h"

namespace {

using namespace countermark;

constexpr std::size_t rates = 6;  // 10^-1 to 10^-6

template <typename Value>
std::vector<Value> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    std::cerr << "cannot read " << path << '\n';
    std::exit(2);
  }
  std::vector<Value> values(static_cast<std::size_t>(file.tellg()) / sizeof(Value));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(Value)));
  return values;
}

marks::Countermark1 mark_of(std::uint64_t key, const marks::Countermark1Parameters& parameters) {
  std::array<std::uint8_t, 32> bytes = {};
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(key >> (8 * i));
  return {keys::Secret(bytes), parameters};
}

struct Documents {
  std::vector<TokenId> tokens;
  std::size_t length;

  std::size_t size() const { return tokens.size() / length; }
  std::span<const TokenId> operator[](std::size_t i) const {
    return std::span(tokens).subspan(i * length, length);
  }
};

/// By document: how many keys gave a p-value of at most each rate.
struct Counts {
  std::vector<std::array<std::uint64_t, rates>> by_document;

  explicit Counts(std::size_t documents) : by_document(documents) {}
  void add(std::size_t document, double log10_p) {
    for (std::size_t r = 0; r < rates && log10_p <= -1.0 - static_cast<double>(r); ++r) {
      ++by_document[document][r];
    }
  }
  void add(const Counts& other) {
    for (std::size_t i = 0; i < by_document.size(); ++i) {
      for (std::size_t r = 0; r < rates; ++r) by_document[i][r] += other.by_document[i][r];
    }
  }
};
using Table = std::map<std::string, Counts>;

/// The exact tail takes a millisecond; which rates a statistic reaches, alone and with its share of
/// all, is told by the statistics that just reach them, for each number of tokens.
class GoodnessOfFitTable {
 public:
  explicit GoodnessOfFitTable(std::size_t most) : bars_(most + 1) {
    for (std::size_t r = 0; r < rates; ++r) {
      const double log10_p = -1.0 - static_cast<double>(r);
      log10_p_.push_back(log10_p);
      log10_p_.push_back(log10_p + std::log10(detect::side_share));
    }
    std::sort(log10_p_.rbegin(), log10_p_.rend());
    for (std::size_t n = 16; n <= most; ++n) {
      for (const double log10_p : log10_p_) bars_[n].push_back(bar(n, log10_p));
    }
  }
  /// The smallest of those p-values that is reached; 0 where none is.
  double log10_p(std::size_t n, double statistic) const {
    const auto& bars = bars_[n];
    const auto reached = std::upper_bound(bars.begin(), bars.end(), statistic) - bars.begin();
    return reached == 0 ? 0.0 : log10_p_[static_cast<std::size_t>(reached) - 1];
  }

 private:
  static double bar(std::size_t n, double log10_p) {
    double low = 0.0, high = 64.0;
    for (int i = 0; i < 30; ++i) {
      const double middle = 0.5 * (low + high);
      (stats::log10_goodness_of_fit_tail(n, middle) > log10_p ? low : high) = middle;
    }
    return high;
  }
  std::vector<double> log10_p_;
  std::vector<std::vector<double>> bars_;
};

void level0(const Documents& documents, const marks::Countermark1& mark,
            const GoodnessOfFitTable& table, Table& counts) {
  std::vector<double> p_values;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const auto rests = detect::rests_of(mark, documents[i], detect::ours(mark));
    const auto prefix = static_cast<std::size_t>(mark.parameters().free_prefix);
    const double unknown = detect::sum_scores(rests, prefix, Start::Unknown).log10_p;
    const double response = detect::sum_scores(rests, prefix, Start::Response).log10_p;
    // The price of both is a factor from 1 to 2: it is only worked out where it could matter.
    double both = std::min(unknown, response);
    both = both <= -1.0 ? detect::sum_scores(rests, prefix, Start::Both).log10_p : 0.0;
    const double scan = detect::scan(rests, std::nullopt).log10_p;
    p_values.clear();
    std::copy_if(rests.begin(), rests.end(), std::back_inserter(p_values),
                 [](double rest) { return !std::isnan(rest); });
    const stats::GoodnessOfFit fit = stats::goodness_of_fit(p_values);
    const double fits = table.log10_p(p_values.size(), fit.statistic);
    counts.at("sum, text taken as a part").add(i, unknown);
    counts.at("sum, text taken as a response").add(i, response);
    counts.at("sum, both").add(i, both);
    counts.at("goodness of fit").add(i, fits);
    counts.at("scan").add(i, scan);
    const double all =
        std::min({both - std::log10(1.0 - 2.0 * detect::side_share),
                  scan - std::log10(detect::side_share), fits - std::log10(detect::side_share)});
    counts.at("all of level 0").add(i, all);
  }
}

/// A document's likelihood test, and the statistics that just reach each rate.
struct Likelihood {
  detect::LikelihoodTest test;
  std::array<std::int64_t, rates> bars;

  explicit Likelihood(std::span<const double> probabilities) : test(probabilities) {
    std::int64_t low = -1'000'000;
    for (std::size_t r = 0; r < rates; ++r) {
      const auto is_short = [&](std::int64_t statistic) {
        return test.log10_tail(statistic) > -1.0 - static_cast<double>(r);
      };
      // The first bar may be anywhere; each of the others is not far above the one before.
      std::int64_t step = r == 0 ? -low : 256;
      while (is_short(low + step)) low += step;
      std::int64_t high = low + step;
      while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (is_short(middle) ? low : high) = middle;
      }
      bars[r] = high;
    }
  }
  double log10_p(std::int64_t statistic) const {
    const auto reached = std::upper_bound(bars.begin(), bars.end(), statistic) - bars.begin();
    return -static_cast<double>(reached);
  }
};

/// One replay of a document by its candidates; log10 p at its end.
double replay(const marks::Countermark1& mark, std::span<const TokenId> tokens,
              std::span<const TokenId> candidates, std::span<const double> weights) {
  constexpr std::size_t width = 8;
  DrawEvidence evidence(0.02);
  marks::TextWalk walk(mark, tokens);
  std::size_t at = 0;
  for (auto places = walk.next(); !places.empty(); places = walk.next()) {
    for (const marks::Place& place : places) {
      const std::size_t i = at++;
      if (place.layer == marks::Layer::Free || mark.parameters().in_free_prefix(i)) continue;
      marks::TokenHash hash;
      hash.seed = place.seed;
      marks::Selection selection;
      double of_token = 0.0;
      for (std::size_t k = i * width; k < (i + 1) * width; ++k) {
        if (weights[k] > 0.0) selection.offer_hash(candidates[k], hash(candidates[k]), weights[k]);
        if (candidates[k] == tokens[i]) of_token = weights[k];
      }
      evidence.add(selection.token() == tokens[i] ? 1.0 / of_token : 0.0);
    }
  }
  return -evidence.largest_log10_e();
}

template <typename OneKey>
Table over_keys(std::uint64_t keys, std::size_t documents, const std::vector<std::string>& names,
                const OneKey& one_key) {
  const unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<Table> tables(threads);
  for (Table& table : tables) {
    for (const std::string& name : names) table.emplace(name, Counts(documents));
  }
  std::atomic<std::uint64_t> next = 0;
  std::vector<std::thread> workers;
  for (unsigned t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (std::uint64_t key = next++; key < keys; key = next++) one_key(key, tables[t]);
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (unsigned t = 1; t < threads; ++t) {
    for (auto& [name, counts] : tables[0]) counts.add(tables[t].at(name));
  }
  return tables[0];
}

void print(const Table& table, std::uint64_t keys) {
  std::cout << "{\"keys\": " << keys;
  for (const auto& [name, counts] : table) {
    std::cout << ", \"" << name << "\": [";
    for (std::size_t i = 0; i < counts.by_document.size(); ++i) {
      std::cout << (i > 0 ? "," : "") << '[';
      for (std::size_t r = 0; r < rates; ++r) {
        std::cout << (r > 0 ? "," : "") << counts.by_document[i][r];
      }
      std::cout << ']';
    }
    std::cout << ']';
  }
  std::cout << "}\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 4) {
    std::cerr << "see the top of bench/null_rates.cc\n";
    return 2;
  }
  const Documents documents{read<TokenId>(arguments[1]), std::stoul(arguments[2])};
  const std::uint64_t keys = std::stoull(arguments[3]);
  const std::string& what = arguments[0];
  if (what == "level0") {
    const GoodnessOfFitTable table(documents.length);
    print(over_keys(keys, documents.size(),
                    {"sum, text taken as a part", "sum, text taken as a response", "sum, both",
                     "goodness of fit", "scan", "all of level 0"},
                    [&](std::uint64_t key, Table& counts) {
                      level0(documents, mark_of(key, {}), table, counts);
                    }),
          keys);
  } else if (what == "likelihood") {
    // Everything narrow: which tokens are scored does not depend on the key then, and a document's
    // null can be prepared.
    const marks::Countermark1Parameters narrow{.narrow_units = 65536, .free_prefix = 0};
    const auto probabilities = read<double>(arguments.at(4));
    std::vector<std::optional<Likelihood>> tests(documents.size());
    base::Workers(0).run(documents.size(), [&](std::size_t i) {
      const marks::Countermark1 any = mark_of(0, narrow);
      auto known = detect::rests_of(any, documents[i], detect::ours(any));
      for (std::size_t k = 0; k < known.size(); ++k) {
        if (!std::isnan(known[k])) known[k] = probabilities[i * documents.length + k];
      }
      tests[i].emplace(known);
    });
    print(
        over_keys(
            keys, documents.size(), {"likelihood"},
            [&](std::uint64_t key, Table& counts) {
              const marks::Countermark1 mark = mark_of(key, narrow);
              for (std::size_t i = 0; i < documents.size(); ++i) {
                const auto rests = detect::rests_of(mark, documents[i], detect::ours(mark));
                counts.at("likelihood").add(i, tests[i]->log10_p(tests[i]->test.statistic(rests)));
              }
            }),
        keys);
  } else if (what == "replay") {
    const auto candidates = read<TokenId>(arguments.at(4));
    const auto weights = read<double>(arguments.at(5));
    print(over_keys(keys, documents.size(), {"replay"},
                    [&](std::uint64_t key, Table& counts) {
                      const marks::Countermark1 mark = mark_of(key, {});
                      const std::size_t each = 8 * documents.length;
                      for (std::size_t i = 0; i < documents.size(); ++i) {
                        counts.at("replay").add(
                            i, replay(mark, documents[i],
                                      std::span(candidates).subspan(i * each, each),
                                      std::span(weights).subspan(i * each, each)));
                      }
                    }),
          keys);
  } else {
    std::cerr << "unknown: " << what << '\n';
    return 2;
  }
  return 0;
}
