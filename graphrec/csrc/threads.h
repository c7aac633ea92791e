// Threads that wait for work, torch's or a few of our own, and a barrier among those that do it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace graphrec {

// A number that only grows. Who waits for it to grow spins for some microseconds and then sleeps.
class Counter {
 public:
  uint64_t value() const { return value_.load(std::memory_order_acquire); }
  void grow();
  void wait_beyond(uint64_t seen);

 private:
  std::atomic<uint64_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable woken_;
};

// All of `count` threads arrive before any of them goes on.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void wait();

 private:
  const int count_;
  std::atomic<int> arrived_{0};
  Counter passed_;
};

// From now on work is done by the threads of this OpenMP runtime, given by its functions GOMP_parallel,
// omp_get_max_threads, omp_get_num_threads and omp_get_thread_num: torch's threads spin for a while after each of its
// operations, on the cores that we want, so that they are best put to work. Until then, in a child of fork, and where
// the runtime gives too few threads, it is done by threads of our own.
void use_openmp(void* parallel, void* most, void* count, void* number);

// Calls work(context, lane) for lanes 0 to count - 1, each on a thread of its own, lane 0 on the caller's; returns
// when all are done. Callers of our own threads wait for one another. False where threads could not be started.
bool run_lanes(int count, void (*work)(void* context, int lane), void* context);

// The same for a function object.
template <class F> bool run_lanes(int count, F& work) {
  return run_lanes(count, [](void* context, int lane) { (*static_cast<F*>(context))(lane); }, &work);
}

}  // namespace graphrec
