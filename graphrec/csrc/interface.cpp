// The library's functions. They return a Status, and never throw.
#include <initializer_list>
#include <new>

#include "check.h"
#include "executor.h"
#include "export.h"
#include "kernels.h"
#include "threads.h"

namespace {

template <class F> int guarded(F&& f) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return STATUS_OUT_OF_MEMORY;
  } catch (...) {
    return STATUS_BAD_PROGRAM;
  }
}

template <class F> int with_kernels(int numbers, F&& f) {
  if (numbers == DOUBLES) return f(graphrec::kernels<double>());
  const graphrec::Kernels<float>* rounding = numbers == FLOATS_BY_BF16 ? graphrec::kernels_bf16() : nullptr;
  return f(rounding ? *rounding : graphrec::kernels<float>());
}

}  // namespace

GRAPHREC_EXPORT const char* graphrec_isa(void) { return graphrec::isa(); }

// Whether products of bfloat16 are there.
GRAPHREC_EXPORT int graphrec_has_bf16(void) { return graphrec::kernels_bf16() != nullptr; }

// Before any other call: see threads.h.
GRAPHREC_EXPORT void graphrec_use_openmp(void* parallel, void* most, void* count, void* number) {
  graphrec::use_openmp(parallel, most, count, number);
}

// Packs the weights and runs all stretches, forward or in reverse, on up to `threads` threads.
GRAPHREC_EXPORT int graphrec_sweep(int numbers, const Structure* structure, const Buffer* buffers, int64_t num_buffers,
                                   const Weight* weights, int64_t num_weights, const Program* programs,
                                   int64_t num_programs, int reverse, int threads) {
  const auto run = [&](const auto& kernels) {
    return graphrec::sweep(kernels, *structure, buffers, num_buffers, weights, num_weights, programs, num_programs,
                           reverse, threads);
  };
  return guarded([&] { return with_kernels(numbers, run); });
}

// Adds up gradients of weights, after the reverse sweep.
GRAPHREC_EXPORT int graphrec_weight_gradients(int numbers, const Structure* structure, const Buffer* buffers,
                                              int64_t num_buffers, const WeightGradient* gradients, int64_t count,
                                              int threads) {
  for (int64_t g = 0; g < count; g++)
    for (const int32_t b : {gradients[g].a, gradients[g].b})
      if (b < 0 || b >= num_buffers || (buffers[b].order && gradients[g].rows != NODES)) return STATUS_BAD_PROGRAM;
  const auto run = [&](const auto& kernels) {
    return graphrec::weight_gradients(kernels, *structure, buffers, gradients, count, threads);
  };
  return guarded([&] { return with_kernels(numbers, run); });
}

// For tests: whether all that the programs and gradients say lies within the structure and the buffers. `rows`: how
// many rows each buffer has (GLOBAL ones). On STATUS_BAD_PROGRAM `message` says what is wrong.
GRAPHREC_EXPORT int graphrec_check(const Structure* structure, const Buffer* buffers, int64_t num_buffers,
                                   const Weight* weights, int64_t num_weights, const Program* programs,
                                   int64_t num_programs, const int64_t* rows, const WeightGradient* gradients,
                                   int64_t num_gradients, char* message, int64_t room) {
  const graphrec::Everything all = {*structure, buffers,      num_buffers, weights,   num_weights,
                                    programs,   num_programs, rows,        gradients, num_gradients};
  return guarded([&] { return graphrec::check(all, message, room); });
}
