#include "base/clock.h"

#include <array>
#include <ctime>
#include <regex>

namespace countermark::base {

std::string rfc3339_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  std::array<char, 32> text = {};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {text.data(), size};
}

bool is_rfc3339(const std::string& text) {
  static const std::regex shape(
      R"(\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2}))");
  // The standard library's matcher recurses once a character.
  constexpr std::size_t longest = 64;
  return text.size() <= longest && std::regex_match(text, shape);
}

}  // namespace countermark::base
