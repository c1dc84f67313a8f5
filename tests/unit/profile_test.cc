#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "support.h"

using namespace countermark;
using base::Json;

namespace {

Profile make(const ProfileOptions& options, std::string_view id = "p") {
  KeyRing ring = KeyRing::generate();
  return ring.import_secret(id, test::secret_bytes(1), options);
}

Json profile_json() {
  ProfileOptions options;
  options.tokenizer = TokenizerInfo{"caf\xc3\xa9", 1000, std::string(32, 'a')};
  return Json::parse(make(options).to_json());
}

Json parameters_of(const ProfileOptions& options) {
  return Json::parse(make(options).parameters_json());
}

}  // namespace

TEST_CASE("Profile: JSON comes back the same, with every parameter written out") {
  ProfileOptions options;
  options.narrow_width = 1;
  options.wide_width = 3;
  options.narrow_units = 16384;
  options.free_units = 3276;
  options.free_prefix = 7;
  options.accounts = true;
  options.tokenizer = TokenizerInfo{"name of it", 512, std::string(32, 'f')};
  const Profile profile = make(options, "prod-2026/11");
  const Profile again = Profile::from_json(profile.to_json());
  CHECK(again.to_json() == profile.to_json());
  CHECK(again.id() == "prod-2026/11");
  CHECK(again.mark() == "countermark/1");
  CHECK(again.tokenizer() == options.tokenizer);
  CHECK(again.has_accounts());
  CHECK(again.is_active());
  CHECK(again.key_id() == profile.commitment().substr(0, 16));
  CHECK(again.created() == profile.created());
  CHECK(again.parameters_json() ==
        R"({"narrow_width":1,"wide_width":3,"narrow_units":16384,"free_units":3276,)"
        R"("free_prefix":7,"accounts":true})");
}

TEST_CASE("Profile: what JSON leaves out takes its default, what is unknown is kept") {
  Json json = profile_json();
  json["parameters"] = {{"narrow_units", 100}, {"later", {1, 2}}};
  json["newer"] = {{"nested", true}};
  json.erase("tokenizer");
  const Profile profile = Profile::from_json(json.dump());
  CHECK_FALSE(profile.tokenizer());
  const Json written = Json::parse(profile.to_json());
  CHECK(written.at("newer") == json["newer"]);
  CHECK(written.at("parameters").at("later") == Json{1, 2});
  CHECK(written.at("parameters").at("narrow_units") == 100);
  CHECK(written.at("parameters").at("narrow_width") == 2);
  CHECK(written.at("parameters").at("free_prefix") == 24);
}

TEST_CASE("Profile: purposes are presets, and a field given wins over them") {
  CHECK(parameters_of({}).at("narrow_units") == 32768);
  ProfileOptions options;
  options.purpose = Purpose::Distillation;
  CHECK(parameters_of(options).at("narrow_units") == 65536);
  options.purpose = Purpose::Provenance;
  CHECK(parameters_of(options).at("narrow_units") == 0);
  options.narrow_units = 5;
  CHECK(parameters_of(options).at("narrow_units") == 5);
  CHECK(parameters_of(options).at("free_prefix") == 24);
  CHECK(parameters_of(options).at("free_units") == 0);
}

TEST_CASE("Profile: accounts need both layers") {
  ProfileOptions options;
  options.accounts = true;
  CHECK(make(options).has_accounts());
  for (const Purpose purpose : {Purpose::Distillation, Purpose::Provenance}) {
    options.purpose = purpose;
    const auto thrown = test::thrown_by([&] { make(options); });
    CHECK(thrown.code == ErrorCode::InvalidOption);
    CHECK(thrown.names("accounts need both layers"));
  }
  options.narrow_units = 65000;
  options.free_units = 536;
  CHECK(test::thrown_by([&] { make(options); }).code == ErrorCode::InvalidOption);
  options.free_units = 535;
  CHECK(make(options).has_accounts());
}

TEST_CASE("Profile: a parameter out of range is named with its value and its range") {
  struct Field {
    const char* name;
    std::function<void(ProfileOptions&, std::int64_t)> set;
    std::int64_t low, high;
  };
  const Field fields[] = {
      {"narrow_width", [](auto& o, auto v) { o.narrow_width = v; }, 1, 4},
      {"wide_width", [](auto& o, auto v) { o.wide_width = v; }, 1, 4},
      {"narrow_units", [](auto& o, auto v) { o.narrow_units = v; }, 0, 65536},
      {"free_units", [](auto& o, auto v) { o.free_units = v; }, 0, 32768},
      {"free_prefix", [](auto& o, auto v) { o.free_prefix = v; }, 0, 65536},
      {"tokenizer.vocab_size", [](auto& o, auto v) { o.tokenizer = test::tokenizer_of(v); }, 2,
       2147483647},
  };
  for (const Field& field : fields) {
    CAPTURE(field.name);
    const std::string range = std::to_string(field.low) + ".." + std::to_string(field.high);
    for (const std::int64_t value :
         {field.low - 1, field.high + 1, std::int64_t{INT64_MIN}, std::int64_t{INT64_MAX}}) {
      ProfileOptions options;
      field.set(options, value);
      const auto thrown = test::thrown_by([&] { make(options); });
      CHECK(thrown.code == ErrorCode::InvalidOption);
      CHECK(thrown.names(field.name));
      CHECK(thrown.names(range));
      CHECK(thrown.names(std::to_string(value)));
    }
    for (const std::int64_t value : {field.low, field.high}) {
      ProfileOptions options;
      field.set(options, value);
      CHECK(test::thrown_by([&] { make(options); }).message == "");
    }
  }
}

TEST_CASE("Profile: text that no file can hold is refused when the profile is made") {
  ProfileOptions options;
  options.tokenizer = test::tokenizer_of(100);
  options.tokenizer->name = "not UTF-8: \xff";
  CHECK(test::thrown_by([&] { make(options); }).code == ErrorCode::InvalidOption);
  options.tokenizer->name = "";
  options.tokenizer->fingerprint = std::string(32, 'G');
  const auto thrown = test::thrown_by([&] { make(options); });
  CHECK(thrown.code == ErrorCode::InvalidOption);
  CHECK(thrown.names("fingerprint"));
}

TEST_CASE("Profile: an id has 1 to 128 printable characters without spaces") {
  for (const std::string& id :
       {std::string("x"), std::string(128, '~'), std::string("a/b:c\"\\")}) {
    CAPTURE(id);
    CHECK(Profile::from_json(make({}, id).to_json()).id() == id);
  }
  for (const std::string& id :
       {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a\n"),
        std::string("\xc3\xa9"), std::string(1, '\0'), std::string("\x7f")}) {
    CAPTURE(id);
    CHECK(test::thrown_by([&] { make({}, id); }).code == ErrorCode::InvalidOption);
  }
}

TEST_CASE("Profile: an unknown mark is refused, and the known ones are named") {
  ProfileOptions options;
  options.mark = "vllm/gumbel-9";
  const auto thrown = test::thrown_by([&] { make(options); });
  CHECK(thrown.code == ErrorCode::UnknownMark);
  CHECK(thrown.names("vllm/gumbel-9"));
  CHECK(thrown.names("countermark/1"));
}

TEST_CASE("Profile: JSON that is wrong in one field is refused with that field's name") {
  struct Mistake {
    const char* pointer;
    Json value;  // discarded: the field is removed
    ErrorCode code;
  };
  const Json removed = Json(Json::value_t::discarded);
  constexpr auto invalid = ErrorCode::InvalidProfile;
  const Mistake mistakes[] = {
      {"/format", removed, invalid},
      {"/format", "countermark.profile/2", ErrorCode::UnsupportedFormat},
      {"/id", removed, invalid},
      {"/id", "two words", ErrorCode::InvalidOption},
      {"/id", 7, invalid},
      {"/mark", removed, invalid},
      {"/mark", "countermark/9", ErrorCode::UnknownMark},
      {"/parameters", removed, invalid},
      {"/parameters", Json::array(), invalid},
      {"/parameters/narrow_width", 0, ErrorCode::InvalidOption},
      {"/parameters/narrow_width", 2.0, invalid},
      {"/parameters/wide_width", "2", invalid},
      {"/parameters/narrow_units", 18446744073709551615ULL, invalid},
      {"/parameters/free_units", -1, ErrorCode::InvalidOption},
      {"/parameters/free_prefix", nullptr, invalid},
      {"/parameters/accounts", 1, invalid},
      {"/key_id", removed, invalid},
      {"/key_id", std::string(16, '0'), invalid},
      {"/key_id", "0123", invalid},
      {"/commitment", removed, invalid},
      {"/commitment", std::string(64, 'A'), invalid},
      {"/commitment", std::string(63, 'a'), invalid},
      {"/tokenizer", 5, invalid},
      {"/tokenizer/name", removed, invalid},
      {"/tokenizer/vocab_size", 1, invalid},
      {"/tokenizer/vocab_size", 1.5, invalid},
      {"/tokenizer/vocab_size", 2147483648, invalid},
      {"/tokenizer/fingerprint", "abc", invalid},
      {"/created", removed, invalid},
      {"/created", "yesterday", invalid},
      {"/status", removed, invalid},
      {"/status", "asleep", invalid},
  };
  for (const Mistake& mistake : mistakes) {
    CAPTURE(mistake.pointer);
    Json json = profile_json();
    const Json::json_pointer pointer(mistake.pointer);
    const std::string name = pointer.back();
    if (mistake.value.is_discarded()) {
      json.at(pointer.parent_pointer()).erase(name);
    } else {
      json.at(pointer) = mistake.value;
      CAPTURE(mistake.value.dump());
    }
    const auto thrown = test::thrown_by([&] { Profile::from_json(json.dump()); });
    CHECK(thrown.code == mistake.code);
    CHECK(thrown.names(name));
  }
}

TEST_CASE("Profile: created is a date and time of RFC 3339") {
  Json json = profile_json();
  for (const char* good :
       {"2026-11-22T04:03:00Z", "2026-11-22t04:03:00.25z", "2026-11-22T04:03:00+05:30"}) {
    json["created"] = good;
    CHECK(Profile::from_json(json.dump()).created() == good);
  }
  for (const char* bad :
       {"", "2026-11-22", "2026-11-22T04:03Z", "2026-11-22T04:03:00", "2026-11-22T04:03:00Z "}) {
    CAPTURE(bad);
    json["created"] = bad;
    CHECK(test::thrown_by([&] { Profile::from_json(json.dump()); }).code ==
          ErrorCode::InvalidProfile);
  }
  // A matcher that recurses would not survive this one.
  json["created"] = "2026-11-22T04:03:00." + std::string(1'000'000, '0') + "Z";
  CHECK(test::thrown_by([&] { Profile::from_json(json.dump()); }).code ==
        ErrorCode::InvalidProfile);
}

TEST_CASE("Profile: JSON nested deeper than any profile is refused, not followed") {
  // Profiles travel with texts: they are read from anywhere.
  Json json = profile_json();
  json["deep"] = nullptr;
  std::string text = json.dump();
  const std::size_t depth = 1'000'000;
  text.replace(text.rfind("null"), 4, std::string(depth, '[') + std::string(depth, ']'));
  CHECK(test::thrown_by([&] { Profile::from_json(text).to_json(); }).code ==
        ErrorCode::InvalidProfile);
}
