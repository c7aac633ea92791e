// Columns are shared out among threads, or nodes where there are too few columns and an order that falls into parts
// which no edge joins. Each number is one thread's, so that states are the same for any number of them.
#include "recurrence.h"

#include <algorithm>
#include <new>
#include <vector>

#include "kernels.h"
#include "program.h"
#include "threads.h"

namespace {

constexpr int64_t WORTH = 1 << 17;  // numbers that are worth another thread

// The steps at which parts begin, about equally many steps apart, for so many lanes at most.
std::vector<int64_t> cuts_of(const Recurrence& s, int lanes) {
  std::vector<int64_t> step(s.nodes), joined(s.nodes + 2);
  const auto node_at = [&](int64_t i) { return s.order ? s.order[i] : i; };
  for (int64_t i = 0; i < s.nodes; i++) step[node_at(s.descending ? s.nodes - 1 - i : i)] = i;
  const int64_t rows = s.backwards ? s.nodes + s.given : s.nodes;
  for (int64_t node = 0; node < s.nodes; node++) {
    const int64_t end = node + 1 < rows ? s.begin[node + 1] : s.edges;
    for (int64_t e = s.begin[node]; e < end; e++)
      if (s.source[e] < s.nodes) joined[step[s.source[e]] + 1]++, joined[step[node] + 1]--;
  }
  std::vector<int64_t> cuts = {0};
  int64_t crossing = 0;
  for (int64_t i = 1; i < s.nodes; i++) {
    crossing += joined[i];
    if (!crossing && i >= s.nodes * (int64_t)cuts.size() / lanes && (int)cuts.size() < lanes) cuts.push_back(i);
  }
  cuts.push_back(s.nodes);
  return cuts;
}

template <class T> int run(const Recurrence& s, int threads) {
  const auto& kernels = graphrec::kernels<T>();
  const int64_t columns = s.width / s.chunks, vectors = (columns + kernels.lanes - 1) / kernels.lanes;
  const int64_t rows = s.backwards ? s.nodes + s.given : s.nodes, numbers = (s.nodes + s.edges) * s.width * s.chunks;
  int lanes = (int)std::max<int64_t>(std::min<int64_t>(threads, numbers / WORTH), 1);
  if (vectors < lanes && !(s.of_factor && s.factor_of == FACTOR_COMMON)) {
    const auto cuts = cuts_of(s, lanes);
    auto work = [&](int lane) { kernels.recurrence(s, cuts[lane], cuts[lane + 1], 0, columns); };
    if ((int)cuts.size() > 2) {
      if (!graphrec::run_lanes((int)cuts.size() - 1, work)) return STATUS_NO_THREADS;
      return kernels.recurrence(s, s.nodes, rows, 0, columns), STATUS_OK;
    }
  }
  lanes = (int)std::min<int64_t>(lanes, vectors);
  const auto column_of = [&](int lane) { return std::min(columns, vectors * lane / lanes * kernels.lanes); };
  auto work = [&](int lane) { kernels.recurrence(s, 0, rows, column_of(lane), column_of(lane + 1)); };
  if (lanes <= 1) return kernels.recurrence(s, 0, rows, 0, columns), STATUS_OK;
  return graphrec::run_lanes(lanes, work) ? STATUS_OK : STATUS_NO_THREADS;
}

}  // namespace

int graphrec_recurrence(int is_double, const Recurrence* recurrence, int threads) try {
  return is_double ? run<double>(*recurrence, threads) : run<float>(*recurrence, threads);
} catch (const std::bad_alloc&) {
  return STATUS_OUT_OF_MEMORY;
}
