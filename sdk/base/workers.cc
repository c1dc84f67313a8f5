#include "base/workers.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace countermark::base {

class Workers::Pool {
 public:
  explicit Pool(unsigned threads) noexcept : threads_wanted_(threads) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    has_job_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  /// False, and nothing is done, where another job is running.
  bool run(const Job& job) {
    const std::unique_lock turn(one_job_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    start(job.count);
    {
      const std::lock_guard lock(mutex_);
      job_ = job;
      is_open_ = true;
      ++jobs_;
      error_ = nullptr;
      next_ = 0;
    }
    has_job_.notify_all();
    work(job);
    std::unique_lock lock(mutex_);
    is_open_ = false;
    is_idle_.wait(lock, [&] { return joined_ == 0; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  /// As many threads as can have an item.
  void start(std::size_t items) {
    const std::size_t wanted = std::min<std::size_t>(threads_wanted_, items);
    try {
      while (threads_.size() + 1 < wanted) {
        threads_.emplace_back([this] { wait_for_jobs(); });
      }
    } catch (const std::system_error&) {
      // Fewer threads than wanted are only slower.
    }
  }

  void wait_for_jobs() {
    std::unique_lock lock(mutex_);
    std::size_t seen = 0;
    for (;;) {
      has_job_.wait(lock, [&] { return is_over_ || (is_open_ && jobs_ != seen); });
      if (is_over_) return;
      seen = jobs_;
      ++joined_;
      const Job job = job_;
      lock.unlock();
      work(job);
      lock.lock();
      if (--joined_ == 0) is_idle_.notify_one();
    }
  }

  void work(const Job& job) noexcept {
    for (std::size_t i = next_++; i < job.count; i = next_++) {
      try {
        job.call(job.body, i);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
      }
    }
  }

  const unsigned threads_wanted_;
  std::vector<std::thread> threads_;
  std::mutex one_job_;  // held for the length of a job

  std::mutex mutex_;  // guards what follows
  std::condition_variable has_job_, is_idle_;
  Job job_ = {};
  bool is_open_ = false;  // whether threads may still join the job
  std::size_t jobs_ = 0;  // so far; a thread joins each once
  std::size_t joined_ = 0;
  bool is_over_ = false;
  std::exception_ptr error_;

  std::atomic<std::size_t> next_ = 0;
};

Workers::Workers(unsigned threads)
    : threads_(threads != 0 ? threads : std::max(1U, std::thread::hardware_concurrency())),
      process_(::getpid()),
      pool_(std::make_unique<Pool>(threads_)) {}

Workers::~Workers() {
  // After a fork there is nobody to join, and what they were waiting for cannot be destroyed.
  if (process_ != ::getpid()) (void)pool_.release();
}

Workers::Pool& Workers::pool() {
  const std::lock_guard lock(mutex_);
  if (process_ != ::getpid()) {
    (void)pool_.release();
    pool_ = std::make_unique<Pool>(threads_);
    process_ = ::getpid();
  }
  return *pool_;
}

void Workers::run_job(const Job& job) {
  if (job.count > 1 && threads_ > 1 && pool().run(job)) return;
  std::exception_ptr error;
  for (std::size_t i = 0; i < job.count; ++i) {
    try {
      job.call(job.body, i);
    } catch (...) {
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace countermark::base
