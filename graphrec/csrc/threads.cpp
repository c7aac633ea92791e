#include "threads.h"

#include <pthread.h>

#include <new>
#include <system_error>
#include <thread>

namespace graphrec {
namespace {

constexpr int SPINS = 2000;  // some microseconds to some tens of them, as pauses are short or long

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

// Both sides first write and then read, in one order for all threads, so that either the waiting one sees the new
// value or the growing one sees the sleeper.
void Counter::grow() {
  value_.fetch_add(1);
  if (sleepers_.load() == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  woken_.notify_all();
}

void Counter::wait_beyond(uint64_t seen) {
  for (int i = 0; i < SPINS; i++) {
    if (value() != seen) return;
    pause();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  woken_.wait(lock, [&] { return value_.load() != seen; });
  sleepers_.fetch_sub(1);
}

void Barrier::wait() {
  const uint64_t seen = passed_.value();
  if (arrived_.fetch_add(1) + 1 < count_) return passed_.wait_beyond(seen);
  arrived_.store(0);
  passed_.grow();
}

namespace {

// The pool of a process. It is never destroyed: its threads wait until the process ends.
class Pool {
 public:
  bool run(int count, void (*work)(void*, int), void* context) {
    std::lock_guard<std::mutex> one_caller(callers_);
    if (!start(count - 1)) return false;
    work_ = work;
    context_ = context;
    lanes_ = count;
    const uint64_t seen = finished_.value();
    running_.store(threads_);
    begun_.grow();
    work(context, 0);
    finished_.wait_beyond(seen);
    return true;
  }

 private:
  bool start(int threads) {
    try {
      for (; threads_ < threads; threads_++) std::thread(&Pool::serve, this, threads_ + 1, begun_.value()).detach();
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  void serve(int lane, uint64_t seen) {
    for (;; seen++) {
      begun_.wait_beyond(seen);
      if (lane < lanes_) work_(context_, lane);
      if (running_.fetch_sub(1) == 1) finished_.grow();
    }
  }

  std::mutex callers_;
  int threads_ = 0;
  int lanes_ = 0;
  void (*work_)(void*, int) = nullptr;
  void* context_ = nullptr;
  std::atomic<int> running_{0};
  Counter begun_, finished_;
};

Pool* new_pool() { return new (std::nothrow) Pool; }
Pool* pool = nullptr;

// A child of fork has none of its parent's threads, and perhaps a lock that nobody will open: it begins anew.
struct PoolOfProcess {
  PoolOfProcess() {
    pool = new_pool();
    pthread_atfork(nullptr, nullptr, [] { pool = new_pool(); });
  }
} of_process;

}  // namespace

bool run_lanes(int count, void (*work)(void*, int), void* context) {
  if (count <= 1) return work(context, 0), true;
  return pool && pool->run(count, work, context);
}

}  // namespace graphrec
