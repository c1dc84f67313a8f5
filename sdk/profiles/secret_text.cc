#include "profiles/secret_text.h"

#include <algorithm>
#include <charconv>

namespace countermark::profiles {
namespace {

constexpr std::size_t digits_of_a_word = 16;

bool is_whole(std::size_t digits) noexcept { return digits > 0 && digits % digits_of_a_word == 0; }

bool is_hex_digit(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Calls `body` with the beginning and end of the value of each string field "secret". An escaped
/// quote cannot precede a name's closing one, so the name is not found inside of other strings.
template <typename Body>
void for_each_secret(const base::WipedString& text, Body&& body) {
  constexpr std::string_view name = "\"secret\"";
  constexpr std::string_view white = " \t\r\n";
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at)) {
    at += name.size();
    const std::size_t colon = text.find_first_not_of(white, at);
    if (colon == text.npos || text[colon] != ':') continue;
    const std::size_t quote = text.find_first_not_of(white, colon + 1);
    if (quote == text.npos || text[quote] != '"') continue;
    const std::size_t end = text.find('"', quote + 1);
    if (end == text.npos) return;
    body(quote + 1, end);
    at = end;
  }
}

}  // namespace

std::string placeholder(std::size_t i, std::size_t digits) {
  std::string text(digits, '#');
  std::to_chars(text.data() + 1, text.data() + digits, i);
  return text;
}

std::optional<std::size_t> placeholder_index(std::string_view text) {
  std::size_t i = 0;
  if (!is_whole(text.size()) || text.front() != '#') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), i);
  if (error != std::errc() || text != placeholder(i, text.size())) return std::nullopt;
  return i;
}

std::vector<base::WipedString> cut_secrets(base::WipedString& text) {
  std::vector<base::WipedString> secrets;
  for_each_secret(text, [&](std::size_t begin, std::size_t end) {
    const auto first = text.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = text.begin() + static_cast<std::ptrdiff_t>(end);
    if (!is_whole(end - begin) || !std::all_of(first, last, is_hex_digit)) return;
    secrets.emplace_back(first, last);
    const std::string stand_in = placeholder(secrets.size() - 1, end - begin);
    std::copy(stand_in.begin(), stand_in.end(), first);
  });
  return secrets;
}

void fill_secret(base::WipedString& text, std::size_t i, std::string_view hex) {
  for_each_secret(text, [&](std::size_t begin, std::size_t end) {
    if (placeholder_index(std::string_view(text).substr(begin, end - begin)) != i) return;
    std::copy(hex.begin(), hex.end(), text.begin() + static_cast<std::ptrdiff_t>(begin));
  });
}

}  // namespace countermark::profiles
