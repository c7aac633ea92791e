// C += A' B over rows: both sides are packed some hundred rows at a time, from all ranges of rows that there are, so
// that the packed blocks stay in the cache and short ranges cost little. A task is some rows of one C, so that nothing
// is added by two threads, and always in the same order.
#include <algorithm>
#include <atomic>
#include <deque>
#include <vector>

#include "executor.h"
#include "kernels.h"
#include "memory.h"
#include "threads.h"

namespace graphrec {
namespace {

constexpr int64_t DEPTH = 256, MOST_ROWS = 320, MOST_COLUMNS = 320;  // of a block
constexpr int64_t LEAST_ROWS = 24;                                   // of a task

struct Range {
  int64_t first, last;
};

struct Task {
  int64_t group, first, last;  // rows of C, counted from the first of the group
};

template <class T> class Gradients {
 public:
  Gradients(const Kernels<T>& kernels, const Structure& s, const Buffer* buffers, const WeightGradient* gradients,
            int64_t count)
      : s_(s), buffers_(buffers), gradients_(gradients), count_(count), kernels_(kernels) {}

  Status run(std::deque<Memory>& lanes, int threads) {
    for (int64_t g = 0; g < count_; g++) ranges_.push_back(ranges(gradients_[g]));
    group();
    const double cycles = work() / kernels_.lanes;
    if (cycles < worth.gradients * threads) threads = std::max(1, (int)(cycles / worth.gradients));
    make_tasks(threads);
    threads = (int)std::max<int64_t>(1, std::min<int64_t>(threads, tasks_.size()));
    while (lanes.size() < (size_t)threads) lanes.emplace_back();
    for (int lane = 0; lane < threads; lane++)
      if (!lanes[lane].reserve<T>(DEPTH * (MOST_ROWS + padded(MOST_COLUMNS)))) return STATUS_OUT_OF_MEMORY;
    std::atomic<size_t> next{0};
    auto lane_work = [&](int lane) {
      for (size_t q = next++; q < tasks_.size(); q = next++)
        for (int64_t g : groups_[tasks_[q].group]) add(gradients_[g], ranges_[g], tasks_[q], lanes[lane].as<T>());
    };
    return run_lanes(threads, lane_work) ? STATUS_OK : STATUS_NO_THREADS;
  }

 private:
  int64_t padded(int64_t n) const { return (n + kernels_.panel - 1) / kernels_.panel * kernels_.panel; }

  // Rows of the stretches with a gradient's program, neighbours joined.
  std::vector<Range> ranges(const WeightGradient& g) const {
    std::vector<Range> found;
    for (int64_t i = 0; i < s_.stretches; i++) {
      if (s_.program[i] < 0 || (g.program >= 0 && s_.program[i] != g.program)) continue;
      Range r = {s_.first[i], s_.last[i]};
      if (g.rows == IN_EDGES) r = {s_.in_first[r.first], s_.in_first[r.last]};
      if (r.first == r.last) continue;
      if (!found.empty() && found.back().last == r.first) found.back().last = r.last;
      else found.push_back(r);
    }
    return found;
  }

  double work() const {  // multiplications
    double sum = 0;
    for (int64_t g = 0; g < count_; g++)
      for (const Range& r : ranges_[g]) sum += (double)(r.last - r.first) * gradients_[g].m * gradients_[g].n;
    return sum * s_.rounds;
  }

  // Gradients whose C overlap in memory are one group, which tasks cut into rows of C alike.
  void group() {
    std::vector<int64_t> order(count_);
    for (int64_t g = 0; g < count_; g++) order[g] = g;
    const auto begin = [&](int64_t g) { return static_cast<T*>(gradients_[g].c); };
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return begin(a) < begin(b); });
    const T* end = nullptr;
    for (int64_t g : order) {
      const WeightGradient& w = gradients_[g];
      if (w.m <= 0 || w.n <= 0) continue;
      if (groups_.empty() || begin(g) >= end) groups_.emplace_back();
      groups_.back().push_back(g);
      const T* own_end = begin(g) + (w.m - 1) * w.c_stride + w.n;
      end = groups_.back().size() == 1 ? own_end : std::max(end, own_end);
    }
    for (auto& members : groups_) firsts_.push_back(begin(members[0]));
    for (auto& members : groups_) std::sort(members.begin(), members.end());
  }

  // The row of its group's C at which a gradient begins; C's of other strides are not cut.
  int64_t row_of(int64_t group, const WeightGradient& w) const {
    return w.c_stride ? (static_cast<T*>(w.c) - firsts_[group]) / w.c_stride : 0;
  }

  void make_tasks(int threads) {
    for (int64_t q = 0; q < (int64_t)groups_.size(); q++) {
      int64_t rows = 0;
      bool alike = true;
      for (int64_t g : groups_[q]) {
        rows = std::max(rows, row_of(q, gradients_[g]) + gradients_[g].m);
        alike = alike && gradients_[g].c_stride == gradients_[groups_[q][0]].c_stride;
      }
      int64_t pieces = (rows + MOST_ROWS - 1) / MOST_ROWS;
      if (threads > 1) pieces = std::max(pieces, std::min<int64_t>(threads * 2, rows / LEAST_ROWS));
      if (!alike) pieces = 1;
      for (int64_t p = 0; p < pieces; p++) {
        const int64_t first = rows * p / pieces, last = rows * (p + 1) / pieces;
        tasks_.push_back(alike ? Task{q, first, last} : Task{q, INT64_MIN, INT64_MAX});
      }
    }
  }

  void add(const WeightGradient& g, const std::vector<Range>& ranges, const Task& task, T* scratch) const {
    int64_t first = 0, last = g.m;
    if (task.last != INT64_MAX) {
      const int64_t row = row_of(task.group, g);
      first = std::max<int64_t>(0, task.first - row);
      last = std::min<int64_t>(g.m, task.last - row);
    }
    for (int64_t row = first; row < last; row += MOST_ROWS)
      for (int64_t column = 0; column < g.n; column += MOST_COLUMNS)
        add_block(g, ranges, {row, std::min(row + MOST_ROWS, last)},
                  {column, std::min<int64_t>(column + MOST_COLUMNS, g.n)}, scratch);
  }

  void add_block(const WeightGradient& g, const std::vector<Range>& ranges, Range rows, Range columns,
                 T* scratch) const {
    const int64_t row = rows.first, m = rows.last - row, column = columns.first, n = columns.last - column;
    T *left = scratch, *right = scratch + DEPTH * MOST_ROWS;
    T* c = static_cast<T*>(g.c) + row * g.c_stride + column;
    const Buffer &a = buffers_[g.a], &b = buffers_[g.b];
    int64_t packed = 0;
    const auto multiply = [&] {
      if (packed) kernels_.product_transposed((int)m, (int)n, (int)packed, DEPTH, left, right, c, g.c_stride);
      packed = 0;
    };
    for (int64_t round = 0; round < s_.rounds; round++) {
      const T* a_base = static_cast<T*>(a.base) + round * a.round + g.a_column + row;
      const T* b_base = static_cast<T*>(b.base) + round * b.round + g.b_column + column;
      for (const Range& r : ranges)
        for (int64_t k = r.first; k < r.last;) {
          const int64_t now = std::min(DEPTH - packed, r.last - k);
          pack_rows(kernels_.pack_left, a, a_base, k, now, m, packed, left);
          pack_rows(kernels_.pack_right, b, b_base, k, now, n, packed, right);
          packed += now;
          k += now;
          if (packed == DEPTH) multiply();
        }
    }
    multiply();
  }

  // Rows k to k + count - 1 of a buffer, wherever they lie, as rows `at` and following of a packed block.
  void pack_rows(void (*pack)(const T*, int64_t, int, int, int, int, T*), const Buffer& buffer, const T* base,
                 int64_t k, int64_t count, int64_t width, int64_t at, T* to) const {
    if (!buffer.order) return pack(base + k * buffer.stride, buffer.stride, (int)count, (int)width, (int)at, DEPTH, to);
    for (int64_t i = 0; i < count; i++)
      pack(base + buffer.order[k + i] * buffer.stride, 0, 1, (int)width, (int)(at + i), DEPTH, to);
  }

  const Structure& s_;
  const Buffer* buffers_;
  const WeightGradient* gradients_;
  const int64_t count_;
  const Kernels<T>& kernels_;
  std::vector<std::vector<Range>> ranges_;
  std::vector<std::vector<int64_t>> groups_;
  std::vector<const T*> firsts_;
  std::vector<Task> tasks_;
};

}  // namespace

template <class T>
Status weight_gradients(const Kernels<T>& kernels, const Structure& structure, const Buffer* buffers,
                        const WeightGradient* gradients, int64_t count, int threads) {
  static thread_local std::deque<Memory> lanes;
  return Gradients<T>(kernels, structure, buffers, gradients, count).run(lanes, std::max(threads, 1));
}

template Status weight_gradients<float>(const Kernels<float>&, const Structure&, const Buffer*, const WeightGradient*,
                                        int64_t, int);
template Status weight_gradients<double>(const Kernels<double>&, const Structure&, const Buffer*,
                                         const WeightGradient*, int64_t, int);

}  // namespace graphrec
