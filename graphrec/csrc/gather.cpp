// Rows in another order. (Torch's own threads go on spinning for a while after each operation, on the cores that the
// sweep wants.)
#include <string.h>

#include <algorithm>

#include "export.h"
#include "program.h"
#include "threads.h"

namespace {

constexpr int64_t WORTH = 1 << 18;  // bytes that are worth another thread

struct Rows {
  char* to;
  const char* from;
  const int64_t* index;
  int64_t rows, bytes;
  int lanes;
};

void copy(void* context, int lane) {
  const Rows& r = *static_cast<const Rows*>(context);
  const int64_t last = r.rows * (lane + 1) / r.lanes;
  for (int64_t row = r.rows * lane / r.lanes; row < last; row++)
    memcpy(r.to + row * r.bytes, r.from + r.index[row] * r.bytes, r.bytes);
}

}  // namespace

// Row i of `to` is row index[i] of `from`, of so many bytes each.
GRAPHREC_EXPORT int graphrec_gather(void* to, const void* from, const int64_t* index, int64_t rows, int64_t bytes,
                                    int threads) {
  const int64_t lanes = std::min<int64_t>(threads, 1 + rows * bytes / WORTH);
  Rows context = {static_cast<char*>(to), static_cast<const char*>(from), index, rows, bytes, (int)std::max<int64_t>(lanes, 1)};
  return graphrec::run_lanes(context.lanes, copy, &context) ? STATUS_OK : STATUS_NO_THREADS;
}
