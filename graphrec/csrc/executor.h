// Sweeps of programs over the rows of a structure, and gradients of weights.
#pragma once
#include "kernels.h"
#include "program.h"

namespace graphrec {

// Cycles of work, as roughly estimated, for which one more thread, or the barrier after a level, pays. Tests set them
// to zero.
struct Worth {
  double thread, barrier, gradients;
};
extern Worth worth;

// One forward or reverse sweep over all stretches and rounds.
template <class T>
Status sweep(const Kernels<T>&, const Structure&, const Buffer*, int64_t num_buffers, const Weight*,
             int64_t num_weights, const Program*, int64_t num_programs, bool reverse, int threads);

// Gradients of weights, after the sweep.
template <class T>
Status weight_gradients(const Kernels<T>&, const Structure&, const Buffer*, const WeightGradient*, int64_t count,
                        int threads);

}  // namespace graphrec
