// Ledgers and account indexes: any bytes are an Error or an object that serves.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/check.h"
#include "fuzz/file.h"

using namespace countermark;
using fuzz::check;

namespace {

constexpr std::array<std::uint64_t, 3> accounts = {1, 2, 1ULL << 63};

const KeyRing& ring() {
  static const KeyRing ring = [] {
    KeyRing made = KeyRing::generate();
    made.import_secret("p", std::array<std::uint8_t, 32>{1, 2, 3}, {.accounts = true});
    return made;
  }();
  return ring;
}

const std::string& sound_ledger() {
  static const std::string content = fuzz::saved([](const std::string& path) {
    Ledger ledger(ring(), "p", {.contexts = 16});
    ledger.add_response(std::array<TokenId, 5>{1, 2, 3, 4, 5});
    ledger.save(path);
  });
  return content;
}

const std::string& sound_index() {
  static const std::string content = fuzz::saved(
      [](const std::string& path) { build_account_index(ring(), "p", accounts, path); });
  return content;
}

template <typename Read>
void read(std::string_view bytes, Read&& read_file) {
  static const fuzz::File file;
  file.write(bytes);
  fuzz::may_refuse([&] { read_file(file.path()); });
}

void read_ledger(std::string_view bytes) {
  read(bytes, [&](const char* path) {
    const Ledger ledger = Ledger::open(ring(), "p", path);
    check(fuzz::saved([&](const std::string& to) { ledger.save(to); }).size() == bytes.size(),
          "a ledger is saved as long as it was");
    check(ledger.false_positive_rate() >= 0.0 && ledger.false_positive_rate() <= 1.0,
          "a rate is one");
    ledger.contains(std::array<TokenId, 2>{1, 2});
    DistillationTest test(ring(), "p", {.decoys = 0, .ledger = ledger});
    test.add_answer({}, std::array<TokenId, 4>{1, 2, 3, 4});
    check(test.result().log10_p <= 0.0, "a probability is at most 1");
  });
}

void read_index(std::string_view bytes) {
  read(bytes, [](const char* path) {
    const Tracer tracer(ring(), "p", accounts, {.index = path, .threads = 1});
    const auto result = tracer.trace(std::array<TokenId, 8>{1, 2, 3, 4, 5, 6, 7, 8});
    check(result.candidates.size() <= accounts.size() + 1, "there are no other accounts");
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_ledger(bytes);
  read_index(bytes);
  if (size > 2) {
    read_ledger(fuzz::damaged(sound_ledger(), data, bytes.substr(2)));
    read_index(fuzz::damaged(sound_index(), data, bytes.substr(2)));
  }
  return 0;
}
