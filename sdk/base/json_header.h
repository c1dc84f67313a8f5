// The page of JSON that binary files of ours begin with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/fail.h"
#include "base/json.h"

namespace countermark::base {

/// A page, so that what follows begins at one.
inline constexpr std::size_t header_size = 4096;

/// `json`, which names "format" and "key_id", padded to header_size.
inline std::string write_header(const Json& json) {
  std::string header = json.dump();
  header.resize(header_size - 1, ' ');
  return header + '\n';
}

/// The header of a file that begins with `bytes`; `what` names it. Throws Error(code) where it is
/// truncated, no JSON or of another key, and Error(UnsupportedFormat) where it is of another
/// format.
inline Json read_header(std::span<const std::uint8_t> bytes, std::string_view format,
                        const std::string& key_id, ErrorCode code, const std::string& what) {
  if (bytes.size() < header_size) fail(code, what, " is truncated: its header is not whole");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), header_size);
  Json json = parse_json(text, code, what);
  const std::string found = require_string(json, "format", code, what);
  if (found != format) {
    fail(ErrorCode::UnsupportedFormat, what, ": format \"", found, "\", this version reads \"",
         format, "\"");
  }
  const std::string its_key = require_string(json, "key_id", code, what);
  if (its_key != key_id) {
    fail(code, what, " is for key ", its_key, ", the profile's is ", key_id);
  }
  return json;
}

}  // namespace countermark::base
