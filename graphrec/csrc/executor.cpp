#include "executor.h"

#include <algorithm>
#include <atomic>
#include <deque>

#include "threads.h"
#include "tile.h"

namespace graphrec {

Worth worth = {1e5, 2e4, 1e5};

namespace {

constexpr int64_t EDGE_SCRATCH = 256 << 10;         // bytes of a tile's edges, if it has several nodes
constexpr int64_t KEPT = 64 << 20;                  // bytes of scratch memory that a calling thread keeps between calls
constexpr int64_t MOST_SUMS = 64;                   // parts beyond these share a sum with their neighbours

// Memory of one calling thread, kept from call to call.
template <class T> struct Workspace {
  Memory packed, sums;
  std::deque<Scratch<T>> lanes;

  void keep_little() {
    size_t bytes = packed.bytes() + sums.bytes();
    for (const auto& lane : lanes) bytes += lane.bytes();
    if (bytes <= (size_t)KEPT) return;
    packed.release();
    sums.release();
    lanes.clear();
  }
};

template <class T> class Sweep {
 public:
  Sweep(const Kernels<T>& kernels, const Structure& structure, const Buffer* buffers, int64_t num_buffers,
        const Program* programs, int64_t num_programs, bool reverse)
      : context_{structure, buffers, num_buffers, programs, num_programs, kernels}, s_(structure), reverse_(reverse) {}

  Status run(Workspace<T>& workspace, const Weight* weights, int64_t num_weights, int threads) {
    if (!lay_out(weights, num_weights)) return STATUS_BAD_PROGRAM;
    estimate(weights);
    threads = threads_worth(std::max(threads, 1));
    const int64_t sums = s_.parts > 1 ? groups() : threads;
    if (!pack(workspace.packed, weights, num_weights)) return STATUS_OUT_OF_MEMORY;
    if (!workspace.sums.template reserve<T>(context_.sum_numbers * sums)) return STATUS_OUT_OF_MEMORY;
    sums_ = workspace.sums.template as<T>();
    if (context_.sum_numbers) std::fill_n(sums_, context_.sum_numbers * sums, T(0));
    while (workspace.lanes.size() < (size_t)threads) workspace.lanes.emplace_back();
    for (int lane = 0; lane < threads; lane++)
      if (!workspace.lanes[lane].reserve(context_)) return STATUS_OUT_OF_MEMORY;

    Barrier barrier(threads);
    std::atomic<int64_t> next_group{0};
    auto work = [&](int lane) {
      Scratch<T>& scratch = workspace.lanes[lane];
      if (s_.parts > 1) run_groups(scratch, sums, next_group, barrier);
      else run_levels(scratch, lane, threads, barrier);
    };
    if (!run_lanes(threads, work)) return STATUS_NO_THREADS;
    if (out_of_memory_) return STATUS_OUT_OF_MEMORY;
    add_up(sums);
    return STATUS_OK;
  }

 private:
  // Where tiles' buffers and sums lie, how many registers there are; false where a program is not one.
  bool lay_out(const Weight* weights, int64_t num_weights) {
    Context<T>& c = context_;
    c.lays.resize(c.num_buffers);
    for (int64_t b = 0; b < c.num_buffers; b++) {
      const Buffer& buffer = c.buffers[b];
      int64_t* total = buffer.place == TILE_NODES      ? &c.node_numbers
                       : buffer.place == TILE_IN_EDGES ? &c.edge_numbers
                                                       : &c.sum_numbers;
      if (buffer.place == GLOBAL) continue;
      if (buffer.place < 0 || buffer.place > SUM || buffer.width < 0) return false;
      c.lays[b] = {*total, c.padded(buffer.width)};
      *total += c.lays[b].stride;
    }
    c.most_edges = 4096;
    const int64_t edge_bytes = c.edge_numbers * (int64_t)sizeof(T);
    if (edge_bytes) c.most_edges = std::max(TILE, std::min<int64_t>(c.most_edges, EDGE_SCRATCH / edge_bytes));
    c.first_step.resize(c.num_programs);
    for (int64_t p = 0; p < c.num_programs; p++)
      for (int64_t q = 0; q < c.programs[p].count; q++) {
        const Instruction& i = c.programs[p].instructions[q];
        if (!lay_out(i, c.programs[p].operations, weights, num_weights)) return false;
        c.first_step[p].push_back(c.num_steps);
        if (i.kind == CHAIN) c.num_steps += i.last - i.first;
      }
    return true;
  }

  bool lay_out(const Instruction& i, const MicroOp* operations, const Weight* weights, int64_t num_weights) {
    const auto is_buffer = [&](int64_t b) { return b >= 0 && b < context_.num_buffers; };
    const auto is_ordered = [&](int64_t b) { return b >= 0 && context_.buffers[b].order; };
    if (i.rows < NODES || i.rows > OUT_EDGES) return false;
    if (i.kind == OUTER) return lay_out_outer(i);
    if (i.kind == PRODUCT) {
      if (i.weight < 0 || i.weight >= num_weights) return false;
      if (!is_buffer(i.a) || !is_buffer(i.c) || (i.i >= 0 && !is_buffer(i.i))) return false;
      const bool ordered[3] = {is_ordered(i.a), is_ordered(i.c), is_ordered(i.i)};
      if (!ordered[0] && !ordered[1] && !ordered[2]) return true;
      const int64_t k = context_.padded(weights[i.weight].k), n = context_.padded(weights[i.weight].n);
      const int64_t numbers = ordered[0] * k + (ordered[1] + ordered[2]) * n;
      context_.ordered_numbers = std::max(context_.ordered_numbers, numbers);
      return i.rows == NODES;
    }
    if (i.kind != CHAIN || i.width < 0 || i.first < 0 || i.last < i.first) return false;
    context_.longest_register = std::max(context_.longest_register, context_.padded(i.width));
    for (int32_t q = i.first; q < i.last; q++) {
      const MicroOp& op = operations[q];
      if (op.op < 0 || op.op >= NUM_OPS || (op.op >= REPEAT_EACH && op.op <= EVERY && op.k < 1)) return false;
      for (const Operand* o : {&op.d, &op.a, &op.b, &op.c}) {
        if (o->buffer == NO_OPERAND) continue;
        if (o->index < 0 || (o->index > 0 && o->index >= s_.num_indices)) return false;
        if (o->buffer >= 0 && !is_buffer(o->buffer)) return false;
        if (is_ordered(o->buffer) && !o->index && i.rows != NODES) return false;
        if (o->buffer < 0) context_.registers = std::max<int64_t>(context_.registers, -(int64_t)o->buffer);
      }
    }
    return true;
  }

  bool lay_out_outer(const Instruction& i) {
    for (const int32_t b : {i.a, i.c, i.i})
      if (b < 0 || b >= context_.num_buffers || (context_.buffers[b].order && i.rows != NODES)) return false;
    const Buffer &a = context_.buffers[i.a], &b = context_.buffers[i.i], &c = context_.buffers[i.c];
    if (i.rows == OUT_EDGES || c.place != SUM || i.width < 1 || c.width % i.width) return false;
    const int64_t m = c.width / i.width, panel = context_.kernels.panel;
    context_.outer_numbers = std::max(context_.outer_numbers, m + panel + i.width + panel);
    const int64_t numbers = (a.order ? context_.padded(m) : 0) + (b.order ? context_.padded(i.width) : 0);
    context_.ordered_numbers = std::max(context_.ordered_numbers, numbers);
    return true;
  }

  // Roughly the cycles that a node and an edge cost, by the dearest program.
  void estimate(const Weight* weights) {
    for (int64_t p = 0; p < context_.num_programs; p++) {
      double cost[3] = {20, 5, 5};
      for (int64_t q = 0; q < context_.programs[p].count; q++) {
        const Instruction& i = context_.programs[p].instructions[q];
        double numbers = 3. * (i.last - i.first) * i.width;
        if (i.kind == PRODUCT) numbers = (double)weights[i.weight].k * weights[i.weight].n;
        if (i.kind == OUTER) numbers = context_.buffers[i.c].width;
        cost[i.rows] += 10 + numbers / context_.kernels.lanes;
      }
      for (int kind = 0; kind < 3; kind++) cost_[kind] = std::max(cost_[kind], cost[kind]);
    }
  }
  double cost_before(int64_t row) const {
    return cost_[NODES] * row + cost_[IN_EDGES] * s_.in_first[row] + cost_[OUT_EDGES] * s_.out_first[row];
  }
  double cost(int64_t stretch) const {
    return s_.program[stretch] < 0 ? 0 : cost_before(s_.last[stretch]) - cost_before(s_.first[stretch]);
  }

  // As many threads as there is work for; one where no level is worth a barrier.
  int threads_worth(int threads) const {
    if (threads == 1 || s_.stretches == 0) return 1;
    if (s_.parts > 1) threads = (int)std::min<int64_t>(threads, s_.parts);
    const double all = s_.rounds * cost_before(s_.rows);
    if (all < worth.thread * threads) threads = std::max(1, (int)(all / worth.thread));
    if (s_.parts > 1 || threads == 1) return threads;
    for (int64_t i = 0; i < s_.stretches;) {
      const Level level = level_from(i);
      if (level.cost >= worth.barrier) return threads;
      i = level.last;
    }
    return 1;
  }

  bool pack(Memory& memory, const Weight* weights, int64_t count) {
    const Kernels<T>& kernels = context_.kernels;
    int64_t total = 0;
    const auto panels = [&](const Weight& w) { return ((int64_t)w.n + kernels.panel - 1) / kernels.panel; };
    for (int64_t q = 0; q < count; q++) total += panels(weights[q]) * kernels.panel * weights[q].k;
    if (!memory.reserve<T>(total)) return false;
    T* to = memory.as<T>();
    for (int64_t q = 0; q < count; q++) {
      const Weight& w = weights[q];
      kernels.pack(static_cast<const T*>(w.w), w.row, w.column, w.k, w.n, 0, (int)panels(w), to);
      context_.weights.push_back({to, w.k, w.n});
      to += panels(w) * kernels.panel * w.k;
    }
    return true;
  }

  void run_rows(Scratch<T>& scratch, int64_t stretch, int64_t first, int64_t last, int64_t round) {
    const int64_t* in = s_.in_first;
    for (int64_t row = first; row < last;) {
      int64_t end = std::min(row + TILE, last);
      while (end - row > 1 && in[end] - in[row] > context_.most_edges) end--;
      if (!run_tile(context_, scratch, s_.program[stretch], row, end, round)) out_of_memory_ = true;
      row = end;
    }
  }

  int64_t in_order(int64_t i, int64_t count) const { return reverse_ ? count - 1 - i : i; }

  // Parts that share a sum: several of one stage, or one.
  int64_t groups() const { return s_.stage[s_.parts - 1] ? s_.parts : std::min(s_.parts, MOST_SUMS); }

  // Each thread takes the next group of parts; there are barriers between stages only.
  void run_groups(Scratch<T>& scratch, int64_t groups, std::atomic<int64_t>& next, Barrier& barrier) {
    const int32_t last = s_.stage[s_.parts - 1];
    int32_t passed = 0;  // stages, in the order of the sweep
    const auto wait_for = [&](int32_t stage) {
      for (; passed < (reverse_ ? last - stage : stage); passed++) barrier.wait();
    };
    for (int64_t i = next++; i < groups; i = next++) {
      const int64_t g = in_order(i, groups);
      wait_for(s_.stage[s_.parts * g / groups]);
      scratch.sums = sums_ + g * context_.sum_numbers;
      scratch.prepare(context_);
      for (int64_t p = s_.parts * g / groups; p < s_.parts * (g + 1) / groups; p++) run_part(scratch, p);
    }
    wait_for(reverse_ ? 0 : last);
  }

  void run_part(Scratch<T>& scratch, int64_t part) {
    for (int64_t r = 0; r < s_.rounds; r++)
      for (int64_t i = 0, count = s_.part[part + 1] - s_.part[part]; i < count; i++) {
        const int64_t stretch = s_.part[part] + in_order(i, count);
        if (s_.program[stretch] >= 0)
          run_rows(scratch, stretch, s_.first[stretch], s_.last[stretch], in_order(r, s_.rounds));
      }
  }

  // The stretches of one level, first to last - 1 in the order of the sweep.
  struct Level {
    int64_t last;
    double cost;
  };
  Level level_from(int64_t i) const {
    const int32_t level = s_.level[in_order(i, s_.stretches)];
    double sum = 0;
    for (; i < s_.stretches && s_.level[in_order(i, s_.stretches)] == level; i++) sum += cost(in_order(i, s_.stretches));
    return {i, sum};
  }

  // Each thread takes its share of each level. Levels that are not worth a barrier are the first thread's.
  void run_levels(Scratch<T>& scratch, int lane, int threads, Barrier& barrier) {
    scratch.sums = sums_ + lane * context_.sum_numbers;
    scratch.prepare(context_);
    bool alone = true;  // whether all levels since the last barrier were the first thread's; at first all are in step
    bool begun = false;
    for (int64_t r = 0; r < s_.rounds; r++)
      for (int64_t i = 0; i < s_.stretches;) {
        const Level level = level_from(i);
        const bool shared = threads > 1 && level.cost >= worth.barrier;
        if (begun && (shared || !alone)) barrier.wait();
        begun = true;
        alone = !shared;
        for (; i < level.last; i++) {
          const int64_t stretch = in_order(i, s_.stretches);
          if (s_.program[stretch] < 0) continue;
          const int64_t round = in_order(r, s_.rounds);
          if (shared)
            run_rows(scratch, stretch, share(stretch, lane, threads), share(stretch, lane + 1, threads), round);
          else if (lane == 0) run_rows(scratch, stretch, s_.first[stretch], s_.last[stretch], round);
        }
      }
  }

  // The first row of a thread's share of a stretch: shares cost about the same.
  int64_t share(int64_t stretch, int lane, int threads) const {
    int64_t low = s_.first[stretch], high = s_.last[stretch];
    if (lane == threads) return high;
    const double target = cost_before(low) + cost(stretch) * lane / threads;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (cost_before(middle) < target) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  void add_up(int64_t count) {
    for (int64_t b = 0; b < context_.num_buffers; b++) {
      const Buffer& buffer = context_.buffers[b];
      if (buffer.place != SUM) continue;
      T* total = static_cast<T*>(buffer.base);
      for (int64_t j = 0; j < buffer.width; j++) total[j] = 0;
      for (int64_t p = 0; p < count; p++) {
        const T* of_part = sums_ + p * context_.sum_numbers + context_.lays[b].offset;
        for (int64_t j = 0; j < buffer.width; j++) total[j] += of_part[j];
      }
    }
  }

  Context<T> context_;
  const Structure& s_;
  const bool reverse_;
  double cost_[3] = {0, 0, 0};
  T* sums_ = nullptr;
  std::atomic<bool> out_of_memory_{false};
};

}  // namespace

template <class T>
Status sweep(const Kernels<T>& kernels, const Structure& structure, const Buffer* buffers, int64_t num_buffers,
             const Weight* weights, int64_t num_weights, const Program* programs, int64_t num_programs, bool reverse,
             int threads) {
  static thread_local Workspace<T> workspace;
  Sweep<T> run(kernels, structure, buffers, num_buffers, programs, num_programs, reverse);
  const Status status = run.run(workspace, weights, num_weights, threads);
  workspace.keep_little();
  return status;
}

template Status sweep<float>(const Kernels<float>&, const Structure&, const Buffer*, int64_t, const Weight*, int64_t,
                             const Program*, int64_t, bool, int);
template Status sweep<double>(const Kernels<double>&, const Structure&, const Buffer*, int64_t, const Weight*, int64_t,
                              const Program*, int64_t, bool, int);

}  // namespace graphrec
