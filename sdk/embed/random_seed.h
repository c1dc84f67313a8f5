// Fresh seeds for the free draws.
#pragma once

#include <cstdint>

namespace countermark::embed {

/// 64 bits from the system's generator. Throws Error(CryptoFailure).
std::uint64_t random_seed();

}  // namespace countermark::embed
