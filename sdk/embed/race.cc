#include "embed/race.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "embed/candidates.h"
#include "kernels/rows.h"
#include "prf/mix.h"

namespace countermark::embed {
namespace {

constexpr double infinity = HUGE_VAL;

/// The best keys so far, as log2(-ln U) - c * logit: what selection minimises, but for a constant
/// and for rounding.
class Contenders {
 public:
  /// Keys so close that only the law's own arithmetic tells them apart. Exponents stay below
  /// most_exponent, so that their rounding is far below this.
  static constexpr double closeness = 1e-6;

  struct Contender {
    TokenId token;
    float logit;
    double exponential;
    double key;
  };

  double best() const noexcept { return best_; }
  bool has_overflown() const noexcept { return has_overflown_; }

  void offer(const Contender& contender) noexcept {
    if (contender.key > best_ + closeness) return;
    if (contender.key < best_ - closeness) {  // beats all before it
      size_ = 0;
      has_overflown_ = false;
    }
    best_ = std::min(best_, contender.key);
    if (size_ == contenders_.size()) drop_beaten();
    if (size_ == contenders_.size()) {
      has_overflown_ = true;
      return;
    }
    contenders_[size_++] = contender;
  }

  /// Those that may be the best.
  std::span<const Contender> finish() noexcept {
    drop_beaten();
    return {contenders_.data(), size_};
  }

 private:
  void drop_beaten() noexcept {
    const auto end = std::remove_if(contenders_.begin(),
                                    contenders_.begin() + static_cast<std::ptrdiff_t>(size_),
                                    [&](const Contender& c) { return c.key > best_ + closeness; });
    size_ = static_cast<std::size_t>(end - contenders_.begin());
  }

  std::array<Contender, 16> contenders_;
  std::size_t size_ = 0;
  double best_ = infinity;
  bool has_overflown_ = false;
};

/// At least 2^t: the chord of each octave.
double upper_exp2(double t) noexcept {
  if (!(t > -1000.0)) return 0.0;
  if (t > 1000.0) return infinity;
  return std::bit_cast<double>(static_cast<std::uint64_t>((t + 1023.0) * 0x1p52));
}

/// The two largest logits that were looked at one by one.
struct Witnesses {
  float largest = -HUGE_VALF;
  float second = -HUGE_VALF;

  void see(float logit) noexcept {
    second = std::max(second, std::min(largest, logit));
    largest = std::max(largest, logit);
  }
};

/// Gives each token in a lane that was hit its exact -ln U, if that can still win.
template <typename Row>
void settle(const Row& row, std::size_t size, const kernels::Hit& hit, std::size_t first_block,
            double c, const marks::TokenHash& hash, Contenders& contenders,
            Witnesses& witnesses) noexcept {
  const std::size_t begin = (first_block + hit.block) * kernels::block_size;
  for (std::uint32_t left = hit.lanes; left != 0; left &= left - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(left));
    for (std::size_t i = begin + lane; i < std::min(size, begin + kernels::block_size);
         i += kernels::lanes) {
      witnesses.see(row[i]);
      const double exponent = c * static_cast<double>(row[i]);
      const auto token = static_cast<TokenId>(i);
      const std::uint64_t h = hash(token);
      const double reach = contenders.best() + Contenders::closeness + exponent;
      if (!(prf::one_minus_uniform(h) <= upper_exp2(reach))) continue;
      const double exponential = prf::exponential(h);
      contenders.offer({token, row[i], exponential, std::log2(exponential) - exponent});
    }
  }
}

/// Whether every token but `token` has a weight of 0.
template <typename Row>
bool is_alone(const Row& row, std::size_t size, TokenId token, float largest,
              double temperature) noexcept {
  for (std::size_t i = 0; i < size; ++i) {
    if (static_cast<TokenId>(i) != token && row[i] > -HUGE_VALF &&
        weight_of(row[i], largest, temperature) > 0.0) {
      return false;
    }
  }
  return true;
}

}  // namespace

ErrorCode race(const BlockedRow& blocked, double temperature, const marks::TokenHash& hash,
               Winner& winner) {
  winner = {};
  constexpr double most_exponent = 0x1p20;
  constexpr std::size_t most_blocks = 512;
  const double c = std::numbers::log2e / temperature;
  if (!(c >= 0x1p-40 && c <= most_exponent)) return ErrorCode::Ok;
  const kernels::HashKeys keys = hash.keys();
  kernels::Seen seen;
  Contenders contenders;
  Witnesses witnesses;
  // Stretches that double: each is looked at with the best key of all before it.
  std::array<kernels::Hit, most_blocks> hits;
  const std::size_t blocks = blocked.block_count();
  for (std::size_t begin = 0, count = 1; begin < blocks; begin += count) {
    count = std::min({std::max<std::size_t>(1, begin), most_blocks, blocks - begin});
    blocked.visit(begin, count, [&](const kernels::Blocks& part, std::size_t first) {
      const std::size_t found = blocked.kernels().race(
          part, keys, kernels::race_bound(contenders.best(), c), hits.data(), seen);
      kernels::with_row(blocked.data(), blocked.type(), [&](const auto& row) {
        for (std::size_t i = 0; i < found; ++i) {
          settle(row, blocked.size(), hits[i], first, c, hash, contenders, witnesses);
        }
      });
    });
  }
  if (const ErrorCode code = code_of(seen); code != ErrorCode::Ok) return code;
  const bool in_range = std::abs(c * static_cast<double>(seen.largest)) <= most_exponent;
  if (!in_range || contenders.has_overflown()) return ErrorCode::Ok;

  marks::Selection selection;
  const auto last = contenders.finish();
  for (const Contenders::Contender& each : last) {
    selection.offer(each.token, each.exponential, weight_of(each.logit, seen.largest, temperature));
  }
  winner.token = selection.token();
  winner.largest = seen.largest;
  winner.is_decided = true;
  kernels::with_row(blocked.data(), blocked.type(), [&](const auto& row) {
    winner.logit = row[static_cast<std::size_t>(winner.token)];
    // Where the witnesses do not settle it, as where a grammar excludes most tokens, all are asked.
    winner.is_alone = !(weight_of(witnesses.second, winner.largest, temperature) > 0.0) &&
                      is_alone(row, blocked.size(), winner.token, winner.largest, temperature);
  });
  return ErrorCode::Ok;
}

}  // namespace countermark::embed
