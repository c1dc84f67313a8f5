// What is behind a Ledger: for samplers, which write it, and tests, which read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "countermark/ledger.h"
#include "keys/aes.h"
#include "keys/secret.h"
#include "ledger/bloom_filter.h"
#include "marks/countermark_1.h"
#include "prf/mix.h"
#include "profiles/profile_impl.h"

namespace countermark {

struct Ledger::Impl {
  Profile profile;
  marks::Countermark1 mark;
  /// Hashes seeds once more: who has the filter and a seed shall not find its bits.
  keys::Secret key;
  ledger::BloomFilter filter;

  std::uint64_t hash(const keys::Seed& seed) const noexcept {
    const std::uint8_t* const bytes = key.reveal().data();
    return prf::mix(base::load<std::uint64_t>(bytes), base::load<std::uint64_t>(bytes + 8),
                    seed.k1);
  }

  /// Whether it is about the key and the contexts of `other`. Ids may differ.
  bool is_of(const Profile& other) const noexcept;
  /// Throws Error(InvalidLedger) unless it is.
  void require_of(const Profile& other) const;

  bool contains(const keys::Seed& seed) const noexcept { return filter.contains(hash(seed)); }
  /// Those of the places that `is_marked(i)` and are narrow.
  template <typename IsMarked>
  void record(std::span<const marks::Place> places, IsMarked&& is_marked) noexcept {
    constexpr std::size_t at_once = 16;
    std::uint64_t hashes[at_once];
    std::size_t waiting = 0;
    const auto write = [&] {
      for (std::size_t k = 0; k < waiting; ++k) filter.add(hashes[k]);
      waiting = 0;
    };
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (places[i].layer != marks::Layer::Narrow || !is_marked(i)) continue;
      hashes[waiting] = hash(places[i].seed);
      // On its way while the others are looked at.
      filter.prefetch(hashes[waiting]);
      if (++waiting == at_once) write();
    }
    write();
  }
};

}  // namespace countermark
