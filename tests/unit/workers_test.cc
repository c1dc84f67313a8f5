#include "base/workers.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

using countermark::base::Workers;

TEST_CASE("Workers: each item is done once, job after job, with any number of threads") {
  for (const unsigned threads : {0U, 1U, 2U, 5U}) {
    Workers workers(threads);
    for (std::size_t count = 0; count < 60; ++count) {
      std::vector<std::atomic<int>> done(count);
      workers.run(count, [&](std::size_t i) { ++done[i]; });
      std::size_t wrong = 0;
      for (const auto& each : done) wrong += each != 1;
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("Workers: more than one thread takes part") {
  Workers workers(2);
  // Each of two items waits for the other to begin.
  std::atomic<int> begun = 0;
  workers.run(2, [&](std::size_t) {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  });
  CHECK(begun == 2);
}

TEST_CASE("Workers: jobs from many threads at once") {
  Workers workers(3);
  std::atomic<std::size_t> done = 0;
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&] {
        for (int job = 0; job < 50; ++job) workers.run(20, [&](std::size_t) { ++done; });
      });
    }
  }
  CHECK(done == 4 * 50 * 20);
}

TEST_CASE("Workers: what an item throws comes out, and the others are done") {
  Workers workers(2);
  std::atomic<std::size_t> done = 0;
  const auto job = [&](std::size_t i) {
    if (i == 7) throw std::runtime_error("seven");
    ++done;
  };
  CHECK_THROWS_WITH_AS(workers.run(100, job), "seven", std::runtime_error);
  CHECK(done == 99);
  workers.run(5, [&](std::size_t) { ++done; });
  CHECK(done == 104);
}

#if !defined(__SANITIZE_THREAD__)  // which does not follow a fork of many threads
TEST_CASE("Workers: work on after a fork, and end") {
  Workers workers(2);
  std::atomic<std::size_t> done = 0;
  workers.run(10, [&](std::size_t) { ++done; });
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(20);
    std::atomic<std::size_t> here = 0;
    {
      Workers own(2);
      own.run(10, [&](std::size_t) { ++here; });
    }
    workers.run(10, [&](std::size_t) { ++here; });
    workers.~Workers();
    ::_exit(here == 20 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
