// Profiles, calibrations and key rings: any bytes are an Error or an object that writes itself
// back.
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/file.h"

using namespace countermark;
using fuzz::check;

namespace {

void read_profile(std::string_view text) {
  fuzz::may_refuse([&] {
    const Profile profile = Profile::from_json(text);
    const Profile again = Profile::from_json(profile.to_json());
    check(again.to_json() == profile.to_json(), "a profile's JSON comes back the same");
    check(profile.commitment().empty() || profile.commitment().size() == 64,
          "a commitment has 64 digits, if there is one");
    check(!profile.id().empty(), "a profile has an id");
  });
}

void read_calibration(std::string_view text) {
  fuzz::may_refuse([&] {
    const Calibration calibration = Calibration::from_json(text);
    const Calibration again = Calibration::from_json(calibration.to_json());
    check(again.to_json() == calibration.to_json(), "a calibration's JSON comes back the same");
    check(calibration.log10_inflation(100) >= 0.0, "a calibration makes no p-value smaller");
  });
}

/// What a sound calibration is saved as.
const std::string& sound_calibration() {
  static const std::string text = [] {
    KeyRing ring = KeyRing::generate();
    ring.import_secret("p", std::array<std::uint8_t, 32>{1, 2, 3});
    const std::array<TokenId, 6> document = {1, 2, 3, 4, 5, 6};
    const std::vector<std::span<const TokenId>> documents(200, document);
    return Calibration::build(ring, "p", documents, {.lengths = {6}, .threads = 1}).to_json();
  }();
  return text;
}

void read_ring(std::string_view text) {
  static const fuzz::File file;
  file.write(text);
  fuzz::may_refuse([&] {
    const KeyRing ring = KeyRing::open(file.path());
    // A ring that opens serves: every active profile samples, and all of them detect.
    for (const Profile& profile : ring.profiles()) {
      if (profile.is_active()) Sampler(ring, profile.id()).sequence().placement();
    }
    if (!ring.profiles().empty()) Detector(ring).detect(std::array<TokenId, 2>{0, 1});
  });
}

/// What a sound ring is saved as.
const std::string& sound_ring() {
  static const std::string text = [] {
    KeyRing ring = KeyRing::generate();
    ring.import_secret("p", std::array<std::uint8_t, 32>{1, 2, 3});
    return fuzz::saved([&](const std::string& path) { ring.save(path); });
  }();
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_profile(text);
  read_calibration(text);
  read_ring(text);
  if (size > 2) {
    read_calibration(fuzz::damaged(sound_calibration(), data, text.substr(2)));
    const std::string damaged = fuzz::damaged(sound_ring(), data, text.substr(2));
    read_ring(damaged);
    if (const auto begin = damaged.find("{", damaged.find("profiles")); begin < damaged.size()) {
      read_profile(std::string_view(damaged).substr(begin, damaged.rfind("}") - begin));
    }
  }
  return 0;
}
