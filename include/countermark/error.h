// The one error type, and the codes that per-token calls return.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "countermark/export.h"

namespace countermark {

/// Stable, machine-readable reason of a failure. Values are append-only: never
/// renumber, never insert in the middle (bindings and logs store them).
enum class ErrorCode : int {
  Ok = 0,
  InvalidOption = 1,        ///< A parameter or option is out of its documented range.
  InvalidKey = 2,           ///< Key material has the wrong length or cannot be parsed.
  InvalidProfile = 3,       ///< A profile's JSON is malformed or contradicts itself.
  InvalidKeyRing = 4,       ///< A key ring file is truncated, malformed or contradicts itself.
  UnsupportedFormat = 5,    ///< A file's format is newer than, or unknown to, this version.
  UnknownMark = 6,          ///< A profile names a mark that this version does not have.
  UnknownProfile = 7,       ///< The key ring holds no profile of that id.
  RetiredProfile = 8,       ///< A retired profile was asked to mark new text.
  FileFailure = 9,          ///< A file cannot be read or written.
  ReadableByOthers = 10,    ///< A key ring file can be read by other users.
  CryptoFailure = 11,       ///< OpenSSL refused an operation.
  SizeMismatch = 12,        ///< A buffer does not match the vocabulary or its partner's length.
  TokenOutOfRange = 13,     ///< A token id is negative or not below the vocabulary size.
  InvalidLogits = 14,       ///< A logit is NaN or +infinity.
  InvalidWeights = 15,      ///< A candidate's weight is negative, NaN or infinite.
  DuplicateCandidate = 16,  ///< A candidate's id occurs twice.
  NoCandidate = 17,         ///< No token can be sampled: every weight is zero, every logit -inf.
  RepeatedSequence = 18,    ///< A batch names the same sequence twice.
  EmptyText = 19,           ///< There is no token to examine.
  AccountMismatch = 20,     ///< An account where the profile has none, or the other way round.
  TokenizerMismatch = 21,   ///< The text was tokenised with another tokenizer than the profile's.
  InvalidEncoding = 22,     ///< Text is not valid UTF-8.
  InvalidProbability = 23,  ///< A model's probability is negative, above 1 or infinite.
  InvalidCalibration = 24,  ///< A calibration is malformed, or of another key.
  InvalidAccounts = 25,     ///< An index of accounts is malformed, or of other accounts.
  InvalidLedger = 26,       ///< A ledger is malformed, or of another key.
};

/// The code's stable name in snake_case, such as "token_out_of_range".
COUNTERMARK_API std::string_view error_name(ErrorCode code) noexcept;

/// One sentence that says what `code` means and what to do. For messages about data that a
/// per-token call refused; a thrown Error says more.
COUNTERMARK_API std::string_view error_description(ErrorCode code) noexcept;

/// Thrown by set-up (keys, profiles, options, files) and by detection, never by a call that runs
/// once a token. `what()` names the field, the value received and the accepted range. It never
/// holds a secret.
class COUNTERMARK_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);
  ~Error() override;

  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace countermark
