// What rounds need of the edges of a graph: sums over inboxes without a row for each edge, and softmax over inboxes,
// both with their derivatives.
//
// Edges are sorted by the node that they enter; those of node i are begin[i] to begin[i + 1] - 1, and to edges - 1 of
// the last node. Numbers are float or double, rows without gaps. Functions return a Status; indices are not checked.
#pragma once
#include <stdint.h>

#include "export.h"

// sums[i] = sum over e of weight[e] * rows[source[e]]: a row is `heads` parts of `width` numbers, each with a weight of
// its own. For the derivative the edges are those from targets back to sources, rows the gradients of the sums, and
// agreement[e] = the inner products of the parts of others[i] and rows[source[e]], which is the gradient of weight[e].
struct EdgeSums {
  int64_t nodes, edges, heads, width;
  const int64_t* begin;           // [nodes]
  const int64_t *source, *number;  // [E]; row number[e] is e's in `weight` and `agreement` (null: row e)
  const void *rows, *weight;      // [., heads, width]; [E, heads] (null: all are 1)
  void* sums;                     // [nodes, heads, width]; null: not wanted
  const void* others;             // [nodes, heads, width]
  void* agreement;                // [E, heads]; null: not wanted
};
GRAPHREC_EXPORT int graphrec_edge_sums(int is_double, const struct EdgeSums* sums, int threads);

// share[e] = exp(score[e]) / sum of exp(score) over the inbox, and `own` in it, for each of `heads` columns. Where
// there is a gradient of share, the inputs are shares, and the result is the gradient of scores.
struct InboxSoftmax {
  int64_t nodes, edges, heads;
  const int64_t* begin;       // [nodes]
  const void *in, *own;       // [E, heads], [nodes, heads]; own null: inboxes alone
  const void *grad, *own_grad;  // as `in` and `own`; null: forwards
  void *out, *own_out;
};
GRAPHREC_EXPORT int graphrec_inbox_softmax(int is_double, const struct InboxSoftmax* softmax, int threads);
