#include "countermark/error.h"

namespace countermark {

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(message), code_(code) {}

Error::~Error() = default;

std::string_view error_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::Ok:
      return "ok";
    case ErrorCode::InvalidOption:
      return "invalid_option";
    case ErrorCode::InvalidKey:
      return "invalid_key";
    case ErrorCode::InvalidProfile:
      return "invalid_profile";
    case ErrorCode::InvalidKeyRing:
      return "invalid_key_ring";
    case ErrorCode::UnsupportedFormat:
      return "unsupported_format";
    case ErrorCode::UnknownMark:
      return "unknown_mark";
    case ErrorCode::UnknownProfile:
      return "unknown_profile";
    case ErrorCode::RetiredProfile:
      return "retired_profile";
    case ErrorCode::FileFailure:
      return "file_failure";
    case ErrorCode::ReadableByOthers:
      return "readable_by_others";
    case ErrorCode::CryptoFailure:
      return "crypto_failure";
    case ErrorCode::SizeMismatch:
      return "size_mismatch";
    case ErrorCode::TokenOutOfRange:
      return "token_out_of_range";
    case ErrorCode::InvalidLogits:
      return "invalid_logits";
    case ErrorCode::InvalidWeights:
      return "invalid_weights";
    case ErrorCode::DuplicateCandidate:
      return "duplicate_candidate";
    case ErrorCode::NoCandidate:
      return "no_candidate";
    case ErrorCode::RepeatedSequence:
      return "repeated_sequence";
    case ErrorCode::EmptyText:
      return "empty_text";
    case ErrorCode::AccountMismatch:
      return "account_mismatch";
    case ErrorCode::TokenizerMismatch:
      return "tokenizer_mismatch";
    case ErrorCode::InvalidEncoding:
      return "invalid_encoding";
    case ErrorCode::InvalidProbability:
      return "invalid_probability";
    case ErrorCode::InvalidCalibration:
      return "invalid_calibration";
    case ErrorCode::InvalidAccounts:
      return "invalid_accounts";
    case ErrorCode::InvalidLedger:
      return "invalid_ledger";
  }
  return "unknown_error";
}

std::string_view error_description(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::Ok:
      return "no error";
    case ErrorCode::InvalidOption:
      return "a sampling option is out of range: temperature must be finite and 0 or more, top_k 0 "
             "or more, top_p in (0, 1], min_p in [0, 1]";
    case ErrorCode::CryptoFailure:
      return "OpenSSL refused an AES operation";
    case ErrorCode::SizeMismatch:
      return "a buffer has the wrong length: logits must hold at least vocab_size values, and ids, "
             "weights, sequences and tokens must match each other";
    case ErrorCode::TokenOutOfRange:
      return "a token id is negative or not below the profile's vocab_size (is it a placeholder, "
             "or "
             "of another tokenizer?)";
    case ErrorCode::InvalidLogits:
      return "a logit is NaN or +inf; logits must be finite or -inf";
    case ErrorCode::InvalidWeights:
      return "a candidate's weight is negative, NaN or infinite";
    case ErrorCode::DuplicateCandidate:
      return "a candidate's id occurs twice";
    case ErrorCode::NoCandidate:
      return "no candidate is left: every logit is -inf, or every weight is 0";
    case ErrorCode::RepeatedSequence:
      return "the same sequence occurs twice in one batch";
    default:
      return error_name(code);
  }
}

}  // namespace countermark
