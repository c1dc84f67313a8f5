// The integer that stands for a token.
#pragma once

#include <cstdint>

namespace countermark {

/// A token id of the model's tokenizer: 0 or more, and below its vocabulary size. Signed because
/// servers put -1 where a token is still unknown; such a placeholder is refused, never hashed.
using TokenId = std::int32_t;

}  // namespace countermark
