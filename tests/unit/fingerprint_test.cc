#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "countermark/profile.h"
#include "support.h"

using namespace countermark;
using Vocabulary = std::vector<std::pair<TokenId, std::string>>;

TEST_CASE("tokenizer_fingerprint: equals what Python's xxhash makes of the same bytes") {
  // xxh3_128 over struct.pack('<II', id, len(token)) + token, by ascending id: hexdigest()
  CHECK(tokenizer_fingerprint({}) == "99aa06d3014798d86001c324468d497f");
  const Vocabulary small = {{0, "a"}, {1, "b"}, {2, "\xc3\xa9"}, {3, ""}, {300, "long token"}};
  CHECK(tokenizer_fingerprint(small) == "e50f521db1f047666d1b93a578f092d0");
  Vocabulary large;
  for (TokenId id = 0; id < 1000; ++id) large.emplace_back(id, "token" + std::to_string(id));
  CHECK(tokenizer_fingerprint(large) == "4a01ab1996c2488e3de2269ed564b62b");
  std::reverse(large.begin(), large.end());
  CHECK(tokenizer_fingerprint(large) == "4a01ab1996c2488e3de2269ed564b62b");
}

TEST_CASE("tokenizer_fingerprint: a token's id, its bytes and where it ends all count") {
  const Vocabulary base = {{0, "ab"}, {1, "c"}};
  for (const Vocabulary& other : {Vocabulary{{0, "ab"}, {2, "c"}}, Vocabulary{{0, "a"}, {1, "bc"}},
                                  Vocabulary{{0, "ab"}}, Vocabulary{{0, "c"}, {1, "ab"}}}) {
    CHECK(tokenizer_fingerprint(other) != tokenizer_fingerprint(base));
  }
}

TEST_CASE("tokenizer_fingerprint: a negative or repeated id is refused and named") {
  const auto negative = test::thrown_by([] {
    tokenizer_fingerprint(Vocabulary{{0, "a"}, {-5, "b"}});
  });
  CHECK(negative.code == ErrorCode::InvalidOption);
  CHECK(negative.names("-5"));
  const auto twice = test::thrown_by([] {
    tokenizer_fingerprint(Vocabulary{{7, "a"}, {3, "b"}, {7, "a"}});
  });
  CHECK(twice.code == ErrorCode::InvalidOption);
  CHECK(twice.names("7"));
}
