#include "threads.h"

#include <pthread.h>

#include <algorithm>
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

// OpenMP's functions, of the runtime whose threads torch's operations run on; all null: there is none.
struct OpenMP {
  void (*parallel)(void (*work)(void*), void* context, unsigned threads, unsigned flags) = nullptr;
  int (*most)() = nullptr, (*count)() = nullptr, (*number)() = nullptr;
} openmp;

struct Region {
  const int lanes;
  void (*const work)(void*, int);
  void* const context;
  std::atomic<bool> begun{false};

  static void enter(void* context) {
    Region& region = *static_cast<Region*>(context);
    const int lane = openmp.number();
    if (openmp.count() < region.lanes || lane >= region.lanes) return;
    region.begun.store(true, std::memory_order_relaxed);
    region.work(region.context, lane);
  }
};

// False, and nothing done, where there are fewer threads than lanes: inside another region, or beyond a limit.
bool run_by_openmp(int lanes, void (*work)(void*, int), void* context) {
  if (!openmp.parallel) return false;
  Region region{lanes, work, context};
  // (As many threads as torch has: the runtime ends threads that a region does without, and starts them anew.)
  openmp.parallel(Region::enter, &region, (unsigned)std::max(lanes, openmp.most()), 0);
  return region.begun.load(std::memory_order_relaxed);
}

// A child of fork has none of its parent's threads, and perhaps a lock that nobody will open: it begins anew. (OpenMP's
// runtime does not, and would wait for threads that are gone.)
struct OfProcess {
  OfProcess() {
    pool = new_pool();
    pthread_atfork(nullptr, nullptr, [] {
      pool = new_pool();
      openmp = {};
    });
  }
} of_process;

}  // namespace

void use_openmp(void* parallel, void* most, void* count, void* number) {
  openmp.most = reinterpret_cast<int (*)()>(most);
  openmp.count = reinterpret_cast<int (*)()>(count);
  openmp.number = reinterpret_cast<int (*)()>(number);
  openmp.parallel = reinterpret_cast<decltype(openmp.parallel)>(parallel);
}

bool run_lanes(int count, void (*work)(void*, int), void* context) {
  if (count <= 1) return work(context, 0), true;
  return run_by_openmp(count, work, context) || (pool && pool->run(count, work, context));
}

}  // namespace graphrec
