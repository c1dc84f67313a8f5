// Threads that wait for work.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <type_traits>

namespace countermark::base {

/// Runs the items of a job on the caller's thread and on others, which are started with the first
/// job and then wait for the next. A job takes no memory. Thread-safe: a job that finds another one
/// running is done by its own caller alone. After a fork the child starts threads of its own.
class Workers {
 public:
  /// `threads` may work on a job, its caller included; 0: one for each core.
  explicit Workers(unsigned threads);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers();

  /// Calls `body(i)` once for each i below `count`, in no order. Where calls throw, the others are
  /// still made, and one of the exceptions comes out of here.
  template <typename Body>
  void run(std::size_t count, Body&& body) {
    using Item = std::remove_reference_t<Body>;
    void* const item = const_cast<void*>(static_cast<const void*>(&body));
    run_job({[](void* of, std::size_t i) { (*static_cast<Item*>(of))(i); }, item, count});
  }

 private:
  struct Job {
    void (*call)(void* body, std::size_t i);
    void* body;
    std::size_t count;
  };
  class Pool;

  void run_job(const Job& job);
  /// The pool, a new one where a fork has left the old one's threads behind.
  Pool& pool();

  const unsigned threads_;
  std::mutex mutex_;  ///< Guards the pool's exchange.
  int process_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace countermark::base
