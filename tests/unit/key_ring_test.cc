#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/hex.h"
#include "base/json.h"
#include "support.h"

using namespace countermark;
using base::Json;

namespace {

/// Two secrets; the first with two profiles, of which one is retired.
KeyRing sample_ring() {
  KeyRing ring = KeyRing::generate();
  ring.import_secret("first", test::secret_bytes(1), test::marked_options(100));
  ring.import_secret("second", test::secret_bytes(2), test::account_options());
  ring.import_secret("third", test::secret_bytes(1));
  ring.retire("first");
  return ring;
}

const std::string& first_hex() {
  static const std::string hex = base::to_hex(test::secret_bytes(1));
  return hex;
}
const std::string& second_hex() {
  static const std::string hex = base::to_hex(test::secret_bytes(2));
  return hex;
}

/// No message may hold a secret, nor a good part of one.
void check_keeps_secrets(const test::Thrown& thrown) {
  for (const std::string& hex : {first_hex(), second_hex()}) {
    for (std::size_t i = 0; i + 16 <= hex.size(); i += 8) {
      CHECK_FALSE(thrown.names(hex.substr(i, 16)));
    }
  }
}

/// A file of the ring, changed as a test wants, and what opening it throws.
class RingFile {
 public:
  explicit RingFile(const KeyRing& ring = sample_ring()) {
    ring.save(path);
    text = test::read_text(path);
    json = Json::parse(text);
  }

  test::Thrown open(const std::string& content) const {
    test::write_private(path, content);
    const auto thrown = test::thrown_by([&] { KeyRing::open(path); });
    check_keeps_secrets(thrown);
    return thrown;
  }
  test::Thrown open() const { return open(json.dump()); }

  test::TemporaryFolder folder;
  std::filesystem::path path = folder / "ring.json";
  std::string text;
  Json json;
};

std::vector<std::string> json_of(const std::vector<Profile>& profiles) {
  std::vector<std::string> all;
  for (const Profile& profile : profiles) all.push_back(profile.to_json());
  return all;
}

}  // namespace

TEST_CASE("KeyRing: saved and opened, it is the same ring and has the same keys") {
  const KeyRing ring = sample_ring();
  const RingFile file(ring);
  CHECK((static_cast<unsigned>(std::filesystem::status(file.path).permissions()) & 0777U) == 0600U);
  const KeyRing again = KeyRing::open(file.path);
  CHECK(json_of(again.profiles()) == json_of(ring.profiles()));
  const Sampler before(ring, "second"), after(again, "second");
  CHECK(test::marked_tokens(before, 60, 50) == test::marked_tokens(after, 60, 50));
  again.save(file.path);
  CHECK(test::read_text(file.path) == file.text);
  // One entry a secret, however many profiles use it.
  CHECK(file.json.at("entries").size() == 2);
  CHECK(file.json.at("entries").at(0).at("secret") == first_hex());
}

TEST_CASE("KeyRing: a drawn secret is new every time") {
  KeyRing ring = KeyRing::generate();
  CHECK(ring.profiles().empty());
  const Profile one = ring.create_profile("one");
  const Profile two = ring.create_profile("two");
  CHECK(one.commitment() != two.commitment());
  CHECK(ring.profiles().size() == 2);
  CHECK(ring.profile("two").to_json() == two.to_json());
}

TEST_CASE("KeyRing: copies are independent rings") {
  KeyRing ring = sample_ring();
  KeyRing copy = ring;
  copy.retire("second");
  copy.import_secret("fourth", test::secret_bytes(4));
  CHECK(ring.profile("second").is_active());
  CHECK(ring.profiles().size() == 3);
  ring = copy;
  CHECK_FALSE(ring.profile("second").is_active());
  CHECK(ring.profiles().size() == 4);
}

TEST_CASE("KeyRing: fields it does not know survive in ring, entry, profile and parameters") {
  RingFile file;
  file.json["newer"] = {{"a", 1}};
  file.json["entries"][1]["label"] = "west";
  file.json["entries"][0]["profiles"][0]["owner"] = {"x", nullptr};
  file.json["entries"][0]["profiles"][0]["parameters"]["later"] = 3;
  REQUIRE(file.open().message == "");
  KeyRing ring = KeyRing::open(file.path);
  ring.retire("second");
  ring.save(file.path);
  const Json saved = Json::parse(test::read_text(file.path));
  CHECK(saved.at("newer") == file.json["newer"]);
  CHECK(saved.at("entries").at(1).at("label") == "west");
  CHECK(saved.at("entries").at(0).at("profiles").at(0) == file.json["entries"][0]["profiles"][0]);
  CHECK(saved.at("entries").at(1).at("profiles").at(0).at("status") == "retired");
}

TEST_CASE("KeyRing: a file cut off anywhere is an error that tells no secret") {
  const RingFile file;
  REQUIRE(file.text.ends_with("}\n"));
  // The closing brace is the last byte that matters.
  for (std::size_t size = 0; size + 2 <= file.text.size(); ++size) {
    CAPTURE(size);
    const auto thrown = file.open(file.text.substr(0, size));
    REQUIRE(thrown.code == ErrorCode::InvalidKeyRing);
    REQUIRE(thrown.names("it breaks off at byte"));
  }
  CHECK(file.open(file.text.substr(0, file.text.size() - 1)).message == "");
}

TEST_CASE("KeyRing: what cannot be right is refused by name, and no secret is told") {
  struct Mistake {
    const char* pointer;
    Json value;
    ErrorCode code;
    const char* named;
  };
  constexpr auto invalid = ErrorCode::InvalidKeyRing;
  const std::string other = base::to_hex(test::secret_bytes(9));
  const Mistake mistakes[] = {
      {"/format", "countermark.keyring/2", ErrorCode::UnsupportedFormat, "countermark.keyring/2"},
      {"/format", 1, invalid, "format"},
      {"/entries", Json::object(), invalid, "entries"},
      {"/entries/0", "text", invalid, "entry 0"},
      {"/entries/1/key_id", "0123456789abcdef", invalid, "entry 1: key_id"},
      {"/entries/1/key_id", nullptr, invalid, "key_id"},
      {"/entries/1/secret", other, invalid, "key_id"},
      {"/entries/1/secret", first_hex(), invalid, "key_id"},
      {"/entries/1/secret", second_hex() + "00", invalid, "entry 1: field \"secret\""},
      {"/entries/1/secret", second_hex().substr(1), invalid, "entry 1: field \"secret\""},
      {"/entries/1/secret", std::string(64, 'g'), invalid, "entry 1: field \"secret\""},
      {"/entries/1/secret", nullptr, invalid, "secret"},
      {"/entries/1/profiles", nullptr, invalid, "profiles"},
      {"/entries/1/profiles/0", 3, ErrorCode::InvalidProfile, "profile"},
      {"/entries/1/profiles/0/id", "first", invalid, "first occurs twice"},
      {"/entries/1/profiles/0/mark", "countermark/7", ErrorCode::UnknownMark, "countermark/7"},
      {"/entries/1/profiles/0/commitment", std::string(64, '0'), ErrorCode::InvalidProfile,
       "key_id"},
      {"/entries/1/profiles/0/parameters/narrow_width", 9, ErrorCode::InvalidOption,
       "narrow_width"},
  };
  for (const Mistake& mistake : mistakes) {
    CAPTURE(mistake.pointer);
    CAPTURE(mistake.value.dump());
    RingFile file;
    file.json.at(Json::json_pointer(mistake.pointer)) = mistake.value;
    const auto thrown = file.open();
    CAPTURE(thrown.message);
    CHECK(thrown.code == mistake.code);
    CHECK(thrown.names(mistake.named));
  }
}

TEST_CASE("KeyRing: a profile committed to another key, a missing field and a seal are refused") {
  RingFile swapped;
  std::swap(swapped.json["entries"][0]["profiles"], swapped.json["entries"][1]["profiles"]);
  CHECK(swapped.open().code == ErrorCode::InvalidKeyRing);
  CHECK(swapped.open().names("committed to another key"));

  for (const char* field : {"key_id", "secret", "profiles"}) {
    CAPTURE(field);
    RingFile lacking;
    lacking.json["entries"][0].erase(field);
    CHECK(lacking.open().code == ErrorCode::InvalidKeyRing);
    CHECK(lacking.open().names(field));
  }

  RingFile sealed;
  sealed.json["entries"][0].erase("secret");
  sealed.json["entries"][0]["sealed"] = {{"kdf", "scrypt"}};
  CHECK(sealed.open().code == ErrorCode::UnsupportedFormat);
  CHECK(sealed.open().names("sealed"));
}

TEST_CASE("KeyRing: a file that others can read is refused unless it is allowed") {
  const RingFile file;
  std::filesystem::permissions(file.path, static_cast<std::filesystem::perms>(0640));
  const auto thrown = test::thrown_by([&] { KeyRing::open(file.path); });
  CHECK(thrown.code == ErrorCode::ReadableByOthers);
  CHECK(thrown.names("chmod 600"));
  CHECK(KeyRing::open(file.path, {.allow_readable_by_others = true}).profiles().size() == 3);

  ::setenv("COUNTERMARK_ALLOW_READABLE_KEYS", "1", 1);
  CHECK(test::thrown_by([&] { KeyRing::open(file.path); }).message == "");
  ::setenv("COUNTERMARK_ALLOW_READABLE_KEYS", "0", 1);
  CHECK(test::thrown_by([&] { KeyRing::open(file.path); }).code == ErrorCode::ReadableByOthers);
  ::unsetenv("COUNTERMARK_ALLOW_READABLE_KEYS");
}

TEST_CASE("KeyRing: a missing file and a folder are file failures") {
  const test::TemporaryFolder folder;
  CHECK(test::thrown_by([&] { KeyRing::open(folder / "none"); }).code == ErrorCode::FileFailure);
  CHECK(test::thrown_by([&] { KeyRing::open(folder.path()); }).code == ErrorCode::FileFailure);
  CHECK(test::thrown_by([&] { sample_ring().save(folder / "no/where"); }).code ==
        ErrorCode::FileFailure);
}

TEST_CASE("KeyRing: an id that is taken, or that is not there, is named") {
  KeyRing ring = sample_ring();
  const auto taken = test::thrown_by([&] { ring.create_profile("third"); });
  CHECK(taken.code == ErrorCode::InvalidOption);
  CHECK(taken.names("\"third\""));
  for (const auto& thrown : {test::thrown_by([&] { ring.profile("nobody"); }),
                             test::thrown_by([&] { ring.retire("nobody"); }),
                             test::thrown_by([&] { Sampler(ring, "nobody"); })}) {
    CHECK(thrown.code == ErrorCode::UnknownProfile);
    CHECK(thrown.names("nobody"));
    for (const char* id : {"first", "second", "third"}) CHECK(thrown.names(id));
  }
  CHECK(ring.profiles().size() == 3);
}

TEST_CASE("KeyRing: an imported secret has exactly 32 bytes, and a refusal adds nothing") {
  KeyRing ring = KeyRing::generate();
  for (const std::size_t size : {0, 31, 33}) {
    const std::vector<std::uint8_t> bytes(size, 1);
    CHECK(test::thrown_by([&] { ring.import_secret("p", bytes); }).code == ErrorCode::InvalidKey);
  }
  ProfileOptions bad;
  bad.narrow_width = 0;
  CHECK(test::thrown_by([&] { ring.import_secret("p", test::secret_bytes(1), bad); }).code ==
        ErrorCode::InvalidOption);
  CHECK(ring.profiles().empty());
}

TEST_CASE("KeyRing: a retired profile detects and marks nothing new") {
  KeyRing ring = test::ring_of(test::marked_options(50));
  const Sampler sampler(ring, "p");
  const Profile retired = ring.retire("p");
  CHECK_FALSE(retired.is_active());
  CHECK_FALSE(ring.profile("p").is_active());
  CHECK(ring.retire("p").to_json() == retired.to_json());
  const auto thrown = test::thrown_by([&] { Sampler(ring, "p"); });
  CHECK(thrown.code == ErrorCode::RetiredProfile);
  // A sampler that exists goes on.
  const test::Tokens tokens = test::marked_tokens(sampler, 200, 50);
  CHECK(Detector(ring).detect(tokens).verdict == Verdict::Marked);
}

TEST_CASE("KeyRing: a strange field that looks like a secret survives too") {
  RingFile file;
  const std::string strange(64, 'e');
  file.json["entries"][0]["hsm"] = {{"secret", strange}};
  test::write_private(file.path, file.json.dump());
  KeyRing::open(file.path).save(file.path);
  const Json saved = Json::parse(test::read_text(file.path));
  CHECK(saved["entries"][0]["hsm"]["secret"] == strange);
  CHECK(saved["entries"][0]["secret"] == first_hex());
  CHECK(saved["entries"][1]["secret"] == second_hex());
}

TEST_CASE("KeyRing: save replaces no file that holds other keys") {
  const RingFile file;
  KeyRing other = KeyRing::generate();
  other.create_profile("other");
  const auto thrown = test::thrown_by([&] { other.save(file.path); });
  CHECK(thrown.code == ErrorCode::FileFailure);
  CHECK(thrown.names("would be lost"));
  CHECK(test::read_text(file.path) == file.text);
}
