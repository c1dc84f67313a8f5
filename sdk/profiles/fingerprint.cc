// The only file that sees xxHash's streaming interface.
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/hex.h"
#include "countermark/profile.h"

namespace countermark {

std::string tokenizer_fingerprint(std::span<const std::pair<TokenId, std::string>> vocabulary) {
  std::vector<const std::pair<TokenId, std::string>*> sorted;
  sorted.reserve(vocabulary.size());
  for (const auto& entry : vocabulary) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });

  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const auto& [id, bytes] = *sorted[i];
    if (id < 0) fail(ErrorCode::InvalidOption, "a vocabulary holds the negative token id ", id);
    if (i > 0 && sorted[i - 1]->first == id) {
      fail(ErrorCode::InvalidOption, "a vocabulary holds token id ", id, " twice");
    }
    std::array<std::uint8_t, 8> head = {};
    base::store(head.data(), static_cast<std::uint32_t>(id));
    base::store(head.data() + 4, static_cast<std::uint32_t>(bytes.size()));
    XXH3_128bits_update(state.get(), head.data(), head.size());
    XXH3_128bits_update(state.get(), bytes.data(), bytes.size());
  }
  XXH128_canonical_t canonical = {};
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
  return base::to_hex(canonical.digest);
}

}  // namespace countermark
