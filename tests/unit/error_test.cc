#include <doctest/doctest.h>

#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include "countermark/countermark.h"

using namespace countermark;

TEST_CASE("ErrorCode: names are distinct, in snake_case, and stay where they are") {
  // Bindings and logs store these: a change here breaks them.
  constexpr std::string_view expected[] = {"ok",
                                           "invalid_option",
                                           "invalid_key",
                                           "invalid_profile",
                                           "invalid_key_ring",
                                           "unsupported_format",
                                           "unknown_mark",
                                           "unknown_profile",
                                           "retired_profile",
                                           "file_failure",
                                           "readable_by_others",
                                           "crypto_failure",
                                           "size_mismatch",
                                           "token_out_of_range",
                                           "invalid_logits",
                                           "invalid_weights",
                                           "duplicate_candidate",
                                           "no_candidate",
                                           "repeated_sequence",
                                           "empty_text",
                                           "account_mismatch",
                                           "tokenizer_mismatch",
                                           "invalid_encoding",
                                           "invalid_probability",
                                           "invalid_calibration",
                                           "invalid_accounts",
                                           "invalid_ledger"};
  CHECK(error_name(static_cast<ErrorCode>(std::size(expected))) == "unknown_error");
  std::set<std::string_view> names;
  for (std::size_t code = 0; code < std::size(expected); ++code) {
    const std::string_view name = error_name(static_cast<ErrorCode>(code));
    CHECK(name == expected[code]);
    CAPTURE(name);
    CHECK(names.insert(name).second);
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
    CHECK_FALSE(error_description(static_cast<ErrorCode>(code)).empty());
  }
}

TEST_CASE("ErrorCode: what a per-token call returns is described in a sentence") {
  for (const ErrorCode code :
       {ErrorCode::InvalidOption, ErrorCode::CryptoFailure, ErrorCode::SizeMismatch,
        ErrorCode::TokenOutOfRange, ErrorCode::InvalidLogits, ErrorCode::InvalidWeights,
        ErrorCode::DuplicateCandidate, ErrorCode::NoCandidate, ErrorCode::RepeatedSequence}) {
    const std::string_view text = error_description(code);
    CAPTURE(text);
    CHECK(text.find(' ') != std::string_view::npos);
    CHECK(text != error_name(code));
  }
}

TEST_CASE("version: is major.minor.patch") {
  CHECK(version().find_first_not_of("0123456789.") == std::string_view::npos);
  CHECK(version() == "0.1.0");
}
