// Linear recurrences over graphs without cycles: state[v] = term[v] + sum over e into v of factor[e] * state[source[e]],
// and the same along reversed edges, which is the derivative.
//
// Nodes have numbers from 0, and states that are given the numbers behind them. Numbers are float or double, rows
// without gaps, but those of `factor` and `term`. Functions return a Status; indices are not checked.
#pragma once
#include <stdint.h>

#include "export.h"

// Which row of the factor an edge has.
enum FactorOf { FACTOR_COMMON, FACTOR_OF_TARGET, FACTOR_OF_EDGE };

// A row is `chunks` chunks of width / chunks numbers. With one chunk a factor is a row, too; with k chunks it is
// [k, k, width / k], and number j of chunk a is the sum over b of factor[a, b, j] * number j of chunk b.
//
// Backwards, edges are those from targets to sources, factors are transposed, and an edge's target is the `source` here;
// nodes come in the reverse of the order, and then what was given, whose rows of the state are in `of_given`.
struct Recurrence {
  int64_t nodes, given, edges, width, chunks, factor_of, backwards;
  const int64_t* order;            // [nodes]: sources before targets; null: by number
  int64_t descending;              // whether the order is to be read from its end
  const int64_t *begin, *source;   // [nodes], backwards [nodes + given]: the first edge into each; [edges]
  const int64_t* number;           // [edges], the row of the factor (FACTOR_OF_EDGE)
  const void *factor, *term;       // [., chunks, chunks, width / chunks], [nodes, width]
  int64_t factor_stride, term_stride;
  const void* given_state;         // [given, width]; forwards
  void *state, *of_given;          // [nodes, width], [given, width] (backwards)
  // Backwards, the gradient of the factor: of what has been multiplied by it. Null: not wanted.
  const int64_t *in_begin, *in_source, *in_number;  // the edges forwards
  const void *multiplied, *given_multiplied;        // [nodes, width], [given, width]: the state forwards
  void* of_factor;                                  // as the factor; zero before
};
enum { MOST_CHUNKS = 4 };
GRAPHREC_EXPORT int graphrec_recurrence(int is_double, const struct Recurrence* recurrence, int threads);
