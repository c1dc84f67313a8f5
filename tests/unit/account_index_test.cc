// The file of the accounts' keys.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "countermark/tracer.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;
constexpr std::uintmax_t header_size = 4096;

std::vector<std::uint64_t> accounts(std::size_t count) {
  std::vector<std::uint64_t> ids(count);
  std::iota(ids.begin(), ids.end(), std::uint64_t{1000});
  return ids;
}

struct Fixture {
  test::TemporaryFolder folder;
  KeyRing ring = test::ring_of(test::account_options(vocab_size));
  std::filesystem::path path = folder / "accounts.index";

  std::size_t build(std::span<const std::uint64_t> ids) const {
    return build_account_index(ring, "p", ids, path);
  }
  test::Thrown refusal_to_build(std::span<const std::uint64_t> ids) const {
    return test::thrown_by([&] { build(ids); });
  }
  test::Thrown refusal_to_open(const std::vector<std::uint64_t>& ids) const {
    return test::thrown_by([&] { Tracer(ring, "p", ids, {.index = path}); });
  }
  void overwrite(std::size_t from, const std::string& text) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(from));
    file << text;
  }
};

}  // namespace

TEST_CASE(
    "account index: 16 bytes an account, for the owner alone, and traces as keys in memory do") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(5000);
  CHECK(f.build(ids) == 5000);
  CHECK(std::filesystem::file_size(f.path) == header_size + 16 * 5000);
  struct stat status = {};
  REQUIRE(::stat(f.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const test::Tokens text =
      test::marked_tokens(Sampler(f.ring, "p"), 120, vocab_size, {.account = 1234, .seed = 1});
  const Tracer mapped(f.ring, "p", ids, {.index = f.path});
  CHECK(mapped.scores(text) == Tracer(f.ring, "p", ids).scores(text));
  CHECK(mapped.trace(text).account == 1234);
  // No secret of the ring is in it, and no account's id.
  CHECK(test::read_text(f.path).find("1234") == std::string::npos);
}

TEST_CASE("account index: grows at its end, and is what one made at once is") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(3000);
  CHECK(f.build(std::span(ids).first(1)) == 1);
  CHECK(f.build(std::span(ids).first(1000)) == 999);
  CHECK(f.build(ids) == 2000);
  CHECK(f.build(ids) == 0);
  const std::string grown = test::read_text(f.path);
  std::filesystem::remove(f.path);
  f.build(ids);
  CHECK(test::read_text(f.path) == grown);
}

TEST_CASE("account index: what a crash left of a key is written anew") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(100);
  f.build(ids);
  const std::string whole = test::read_text(f.path);
  std::filesystem::resize_file(f.path, header_size + 16 * 60 + 7);
  CHECK(f.refusal_to_open(ids).names("60 accounts, of 100"));
  CHECK(f.build(ids) == 40);
  CHECK(test::read_text(f.path) == whole);
}

TEST_CASE("account index: one of other accounts, of another key or broken is refused and kept") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(100);
  f.build(ids);
  const std::string whole = test::read_text(f.path);

  std::vector<std::uint64_t> others = ids;
  others.front() = 5;
  CHECK(f.refusal_to_build(others).code == ErrorCode::InvalidAccounts);
  CHECK(f.refusal_to_build(others).names("row 0 is not the key of account 5"));
  CHECK(f.refusal_to_open(others).names("row 0"));
  others = ids;
  others.back() = 5;
  CHECK(f.refusal_to_open(others).names("row 99"));
  CHECK(f.refusal_to_build(accounts(99)).names("only 99"));
  CHECK(f.refusal_to_open(accounts(99)).names("only 99"));

  Fixture g;
  g.ring = test::ring_of(test::account_options(vocab_size), 2);
  const auto opened = test::thrown_by([&] { Tracer(g.ring, "p", ids, {.index = f.path}); });
  CHECK(opened.code == ErrorCode::InvalidAccounts);
  CHECK(opened.names(g.ring.profile("p").key_id()));
  CHECK(test::thrown_by([&] { build_account_index(g.ring, "p", ids, f.path); }).code ==
        ErrorCode::InvalidAccounts);
  CHECK(test::read_text(f.path) == whole);

  std::filesystem::resize_file(f.path, 100);
  CHECK(f.refusal_to_open(ids).names("truncated"));
  CHECK(f.refusal_to_build(ids).names("truncated"));
  CHECK(std::filesystem::file_size(f.path) == 100);
  test::write_private(f.path, "");
  CHECK(f.refusal_to_open(ids).names("truncated"));
  test::write_private(f.path, std::string(5000, 'x'));
  CHECK(f.refusal_to_open(ids).code == ErrorCode::InvalidAccounts);
  test::write_private(f.path, "{\"format\":\"countermark.accounts/2\"}" + std::string(5000, ' '));
  CHECK(f.refusal_to_open(ids).code == ErrorCode::UnsupportedFormat);
  std::filesystem::remove(f.path);
  CHECK(f.refusal_to_open(ids).code == ErrorCode::FileFailure);
}

TEST_CASE("account index: a key that was changed accuses nobody") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(1000);
  f.build(ids);
  const test::Tokens text =
      test::marked_tokens(Sampler(f.ring, "p"), 120, vocab_size, {.account = 1234, .seed = 1});
  // Row 1234's key at row 501, which no look at some of the keys sees.
  const std::string file = test::read_text(f.path);
  const std::size_t from = header_size + 16 * 234;
  f.overwrite(header_size + 16 * 501, file.substr(from, 16));
  const Tracer tracer(f.ring, "p", ids, {.index = f.path});
  const test::Thrown thrown = test::thrown_by([&] { tracer.trace(text); });
  CHECK(thrown.code == ErrorCode::InvalidAccounts);
  CHECK(thrown.names("row 501 is not the key of account 1501"));
}

TEST_CASE("account index: refused where others can read it, unless that is allowed") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(10);
  f.build(ids);
  std::filesystem::permissions(f.path, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  CHECK(f.refusal_to_open(ids).code == ErrorCode::ReadableByOthers);
  CHECK(f.refusal_to_build(accounts(11)).code == ErrorCode::ReadableByOthers);
  CHECK_NOTHROW(Tracer(f.ring, "p", ids, {.index = f.path, .allow_readable_by_others = true}));
  CHECK(build_account_index(f.ring, "p", accounts(11), f.path,
                            {.allow_readable_by_others = true}) == 1);
}

TEST_CASE("account index: a new one is there as a whole or not at all") {
  const Fixture f;
  const std::vector<std::uint64_t> ids = accounts(10);
  const auto stopped = test::thrown_by([&] {
    build_account_index(f.ring, "p", ids, f.path, {.progress = [](std::size_t, std::size_t) {
                          throw Error(ErrorCode::Ok, "stopped");
                        }});
  });
  CHECK(stopped.message == "stopped");
  CHECK(std::filesystem::is_empty(f.folder.path()));
  CHECK(test::thrown_by([&] {
          build_account_index(f.ring, "p", ids, f.folder / "nowhere" / "x");
        }).code == ErrorCode::FileFailure);
  CHECK(test::thrown_by([&] { f.build({}); }).names("accounts is empty"));
}
