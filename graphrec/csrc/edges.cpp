// Nodes are shared out among threads so that each has about as many edges; a node's sum is one thread's, so that
// results are the same for any number of them.
#include "edges.h"

#include <algorithm>

#include "kernels.h"
#include "program.h"
#include "threads.h"

namespace {

constexpr int64_t WORTH = 1 << 17;  // numbers that are worth another thread

template <class S, class Kernel> int on_lanes(const S& s, int64_t numbers, int threads, Kernel kernel) {
  const int lanes = (int)std::max<int64_t>(std::min<int64_t>(threads, numbers / WORTH), 1);
  const auto first_of = [&](int lane) {
    if (lane == lanes) return s.nodes;
    return (int64_t)(std::lower_bound(s.begin, s.begin + s.nodes, s.edges * lane / lanes) - s.begin);
  };
  auto work = [&](int lane) { kernel(s, first_of(lane), first_of(lane + 1)); };
  if (lanes == 1) return kernel(s, 0, s.nodes), STATUS_OK;
  return graphrec::run_lanes(lanes, work) ? STATUS_OK : STATUS_NO_THREADS;
}

}  // namespace

int graphrec_edge_sums(int is_double, const EdgeSums* sums, int threads) {
  const auto kernel = is_double ? graphrec::kernels<double>().edge_sums : graphrec::kernels<float>().edge_sums;
  return on_lanes(*sums, (sums->edges + sums->nodes) * sums->heads * sums->width, threads, kernel);
}

int graphrec_inbox_softmax(int is_double, const InboxSoftmax* softmax, int threads) {
  const auto& of_float = graphrec::kernels<float>();
  const auto kernel = is_double ? graphrec::kernels<double>().inbox_softmax : of_float.inbox_softmax;
  return on_lanes(*softmax, 4 * (softmax->edges + softmax->nodes) * softmax->heads, threads, kernel);
}
