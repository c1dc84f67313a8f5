#include "marks/seed_set.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace countermark::marks {
namespace {

constexpr keys::Seed zero = {};

}  // namespace

std::size_t SeedSet::find(const keys::Seed& seed) const noexcept {
  std::size_t slot = home(seed);
  while (!(slots_[slot] == seed) && !(slots_[slot] == zero)) slot = after(slot);
  return slot;
}

bool SeedSet::contains(const keys::Seed& seed) const noexcept {
  if (seed == zero) return has_zero_;
  return !slots_.empty() && slots_[find(seed)] == seed;
}

bool SeedSet::insert(const keys::Seed& seed) {
  if (seed == zero) return !std::exchange(has_zero_, true);
  reserve(size_ + 1);
  keys::Seed& slot = slots_[find(seed)];
  if (slot == seed) return false;
  slot = seed;
  ++size_;
  return true;
}

void SeedSet::erase(const keys::Seed& seed) noexcept {
  if (seed == zero) {
    has_zero_ = false;
    return;
  }
  std::size_t hole = find(seed);
  // Seeds behind the hole that would no longer be found move up.
  for (std::size_t slot = after(hole); !(slots_[slot] == zero); slot = after(slot)) {
    const std::size_t mask = slots_.size() - 1;
    const std::size_t from_home = (slot - home(slots_[slot])) & mask;
    if (from_home >= ((slot - hole) & mask)) {
      slots_[hole] = slots_[slot];
      hole = slot;
    }
  }
  slots_[hole] = zero;
  --size_;
}

void SeedSet::reserve(std::size_t count) {
  // Three quarters full at most.
  if (4 * count <= 3 * slots_.size()) return;
  const std::size_t wanted = std::bit_ceil(std::max<std::size_t>(16, count + count / 3 + 1));
  std::vector<keys::Seed> old(wanted);
  old.swap(slots_);
  for (const keys::Seed& seed : old) {
    if (!(seed == zero)) slots_[find(seed)] = seed;
  }
}

}  // namespace countermark::marks
