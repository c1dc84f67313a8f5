#include "base/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "support.h"

using namespace countermark;
namespace fs = std::filesystem;

namespace {

unsigned mode_of(const fs::path& path) {
  return static_cast<unsigned>(fs::status(path).permissions()) & 0777U;
}

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("replace_file: writes a file that its owner alone can read") {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "file";
  base::replace_file(path, "one");
  CHECK(mode_of(path) == 0600);
  CHECK(test::read_text(path) == "one");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("replace_file: puts a new file in the old one's place, whatever the old one's mode") {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "file";
  test::write_private(path, "the old content");
  fs::permissions(path, static_cast<fs::perms>(0644));
  // A reader that has the old file open goes on reading the old content.
  std::ifstream reader(path);
  base::replace_file(path, std::string("new\0x", 5));
  const std::string old((std::istreambuf_iterator<char>(reader)), {});
  CHECK(old == "the old content");
  CHECK(test::read_text(path) == std::string("new\0x", 5));
  CHECK(mode_of(path) == 0600);
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("replace_file: a failure leaves what was there, and no temporary file") {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "directory";
  fs::create_directory(path);
  const auto onto = test::thrown_by([&] { base::replace_file(path, "text"); });
  CHECK(onto.code == ErrorCode::FileFailure);
  CHECK(onto.names(path.string()));
  CHECK(fs::is_directory(path));
  CHECK(files_in(folder.path()) == 1);

  const fs::path nowhere = folder / "missing/file";
  const auto into = test::thrown_by([&] { base::replace_file(nowhere, "text"); });
  CHECK(into.code == ErrorCode::FileFailure);
  CHECK(into.names(nowhere.string()));
}

TEST_CASE("replace_file: a name without a folder is one in the working directory") {
  const test::TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  const auto thrown = test::thrown_by([] { base::replace_file("file", "text"); });
  fs::current_path(before);
  CHECK(thrown.message == "");
  CHECK(test::read_text(folder / "file") == "text");
}

TEST_CASE("read_file: gives back the whole file") {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "file";
  std::string text(100000, 'x');
  text[5000] = '\0';
  for (const std::string& content : {text, std::string()}) {
    base::replace_file(path, content);
    const base::WipedString read = base::read_file(path, true);
    CHECK(std::string_view(read) == content);
  }
}

TEST_CASE("read_file: refuses what the group or others can read, unless allowed") {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "file";
  test::write_private(path, "text");
  for (const unsigned mode : {0640U, 0604U, 0644U, 0444U}) {
    CAPTURE(mode);
    fs::permissions(path, static_cast<fs::perms>(mode));
    const auto thrown = test::thrown_by([&] { base::read_file(path, true); });
    CHECK(thrown.code == ErrorCode::ReadableByOthers);
    CHECK(thrown.names(path.string()));
    CHECK(thrown.names(mode == 0640U ? "0640" : "mode 0"));
    CHECK(base::read_file(path, false) == "text");
  }
  for (const unsigned mode : {0600U, 0400U, 0700U}) {
    CAPTURE(mode);
    fs::permissions(path, static_cast<fs::perms>(mode));
    CHECK(base::read_file(path, true) == "text");
  }
}

TEST_CASE("read_file: what is missing or no regular file is an error, and never waited for") {
  const test::TemporaryFolder folder;
  const fs::path missing = folder / "missing";
  const fs::path directory = folder / "directory";
  const fs::path pipe = folder / "pipe";
  fs::create_directory(directory);
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const fs::path& path : {missing, directory, pipe, fs::path()}) {
    CAPTURE(path.string());
    const auto thrown = test::thrown_by([&] { base::read_file(path, true); });
    CHECK(thrown.code == ErrorCode::FileFailure);
    CHECK(thrown.names(path.string()));
  }
}
