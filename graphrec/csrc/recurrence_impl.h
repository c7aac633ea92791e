// Linear recurrences, for steps first to last - 1 and columns `column` to end - 1 of each chunk; see recurrence.h.
#pragma once
#include "edges_impl.h"
#include "kernels.h"

namespace {

constexpr int64_t SUMMED = 256;  // gradients of a common factor are added up in groups of so many nodes

INLINE int64_t node_at(const Recurrence& s, int64_t step) {
  if (step >= s.nodes) return step;  // what was given
  if (s.descending) step = s.nodes - 1 - step;
  return s.order ? s.order[step] : step;
}

INLINE int64_t factor_row(const Recurrence& s, int64_t node, int64_t e) {
  if (s.factor_of == FACTOR_COMMON) return 0;
  if (s.factor_of == FACTOR_OF_EDGE) return s.number[e];
  return s.backwards ? s.source[e] : node;
}

// A row of a table of nodes, or of what was given.
template <class T> INLINE T* row_of(const Recurrence& s, const void* nodes, const void* given, int64_t row) {
  return row < s.nodes ? (T*)nodes + row * s.width : (T*)given + (row - s.nodes) * s.width;
}

// Rows of one chunk: N vectors of columns; the last has `lanes` columns. Where a node's only source is the node before
// it, the source's state is at hand.
template <int N, class T>
INLINE void by_elements(const Recurrence& s, int64_t first, int64_t last, int64_t column, int lanes) {
  const bool whole = N > 1 || lanes == LANES<T>;
  const auto get = [&](const T* from, int v) { return whole ? load(from + column + v * LANES<T>) : load(from + column, lanes); };
  const auto put = [&](T* to, int v, Vector<T> x) {
    if (whole) store(to + column + v * LANES<T>, x);
    else store(to + column, x, lanes);
  };
  const T *factor = (const T*)s.factor, *term = (const T*)s.term;
  T* of_factor = (T*)s.of_factor;
  const int64_t rows = s.backwards ? s.nodes + s.given : s.nodes;
  Vector<T> state[N] = {}, summed[N] = {}, total[N] = {};
  int64_t previous = -1, in_sum = 0;
  for (int64_t i = first; i < last; i++) {
    const int64_t node = node_at(s, i), begin = s.begin[node], end = end_of<T>(s.begin, node, rows, s.edges);
    Vector<T> sum[N];
    for (int v = 0; v < N; v++) sum[v] = node < s.nodes ? get(term + node * s.term_stride, v) : Vector<T>{};
    for (int64_t e = begin; e < end; e++) {
      const T* by = factor + factor_row(s, node, e) * s.factor_stride;
      if (s.source[e] == previous) {
        for (int v = 0; v < N; v++) sum[v] += get(by, v) * state[v];
      } else {
        const T* from = row_of<T>(s, s.state, s.given_state, s.source[e]);
        for (int v = 0; v < N; v++) sum[v] += get(by, v) * get(from, v);
      }
    }
    T* to = row_of<T>(s, s.state, s.of_given, node);
    for (int v = 0; v < N; v++) put(to, v, state[v] = sum[v]);
    previous = node;
    if (!of_factor || node >= s.nodes) continue;
    const int64_t in_end = end_of<T>(s.in_begin, node, s.nodes, s.edges);
    if (s.factor_of == FACTOR_OF_EDGE) {
      for (int64_t e = s.in_begin[node]; e < in_end; e++) {
        const T* from = row_of<T>(s, s.multiplied, s.given_multiplied, s.in_source[e]);
        for (int v = 0; v < N; v++) put(of_factor + s.in_number[e] * s.width, v, state[v] * get(from, v));
      }
      continue;
    }
    Vector<T> sent[N] = {};
    for (int64_t e = s.in_begin[node]; e < in_end; e++) {
      const T* from = row_of<T>(s, s.multiplied, s.given_multiplied, s.in_source[e]);
      for (int v = 0; v < N; v++) sent[v] += get(from, v);
    }
    if (s.factor_of == FACTOR_OF_TARGET) {
      for (int v = 0; v < N; v++) put(of_factor + node * s.width, v, state[v] * sent[v]);
      continue;
    }
    for (int v = 0; v < N; v++) summed[v] += state[v] * sent[v];
    if (++in_sum == SUMMED) {
      for (int v = 0; v < N; v++) total[v] += summed[v], summed[v] = Vector<T>{};
      in_sum = 0;
    }
  }
  if (of_factor && s.factor_of == FACTOR_COMMON)
    for (int v = 0; v < N; v++) put(of_factor, v, get(of_factor, v) + (total[v] + summed[v]));
}

// Rows of k chunks: one vector of columns of each, of `lanes` columns.
template <class T>
INLINE void by_chunks(const Recurrence& s, int64_t first, int64_t last, int64_t column, int lanes) {
  const int k = (int)s.chunks;
  const int64_t m = s.width / k, rows = s.backwards ? s.nodes + s.given : s.nodes;
  const auto get = [&](const T* from, int64_t chunk) {
    return lanes == LANES<T> ? load(from + chunk * m + column) : load(from + chunk * m + column, lanes);
  };
  const auto put = [&](T* to, int64_t chunk, Vector<T> x) {
    if (lanes == LANES<T>) store(to + chunk * m + column, x);
    else store(to + chunk * m + column, x, lanes);
  };
  const T *factor = (const T*)s.factor, *term = (const T*)s.term;
  T* of_factor = (T*)s.of_factor;
  Vector<T> summed[MOST_CHUNKS * MOST_CHUNKS] = {}, total[MOST_CHUNKS * MOST_CHUNKS] = {};
  int64_t in_sum = 0;
  for (int64_t i = first; i < last; i++) {
    const int64_t node = node_at(s, i), begin = s.begin[node], end = end_of<T>(s.begin, node, rows, s.edges);
    Vector<T> sum[MOST_CHUNKS];
    for (int a = 0; a < k; a++) sum[a] = node < s.nodes ? get(term + node * s.term_stride, a) : Vector<T>{};
    for (int64_t e = begin; e < end; e++) {
      const T* by = factor + factor_row(s, node, e) * s.factor_stride;
      const T* from = row_of<T>(s, s.state, s.given_state, s.source[e]);
      for (int b = 0; b < k; b++) {
        const Vector<T> x = get(from, b);
        for (int a = 0; a < k; a++) sum[a] += get(by, s.backwards ? b * k + a : a * k + b) * x;
      }
    }
    T* to = row_of<T>(s, s.state, s.of_given, node);
    for (int a = 0; a < k; a++) put(to, a, sum[a]);
    if (!of_factor || node >= s.nodes) continue;
    const int64_t in_end = end_of<T>(s.in_begin, node, s.nodes, s.edges);
    if (s.factor_of == FACTOR_OF_EDGE) {
      for (int64_t e = s.in_begin[node]; e < in_end; e++) {
        const T* from = row_of<T>(s, s.multiplied, s.given_multiplied, s.in_source[e]);
        for (int a = 0; a < k; a++)
          for (int b = 0; b < k; b++) put(of_factor + s.in_number[e] * k * s.width, a * k + b, sum[a] * get(from, b));
      }
      continue;
    }
    Vector<T> sent[MOST_CHUNKS] = {};
    for (int64_t e = s.in_begin[node]; e < in_end; e++) {
      const T* from = row_of<T>(s, s.multiplied, s.given_multiplied, s.in_source[e]);
      for (int b = 0; b < k; b++) sent[b] += get(from, b);
    }
    for (int a = 0; a < k; a++)
      for (int b = 0; b < k; b++) {
        if (s.factor_of == FACTOR_OF_TARGET) put(of_factor + node * k * s.width, a * k + b, sum[a] * sent[b]);
        else summed[a * k + b] += sum[a] * sent[b];
      }
    if (++in_sum < SUMMED && i + 1 < last) continue;
    for (int j = 0; j < k * k; j++) total[j] += summed[j], summed[j] = Vector<T>{};
    in_sum = 0;
  }
  if (of_factor && s.factor_of == FACTOR_COMMON)
    for (int j = 0; j < k * k; j++) put(of_factor, j, get(of_factor, j) + (total[j] + summed[j]));
}

template <class T>
void recurrence(const Recurrence& s, int64_t first, int64_t last, int64_t column, int64_t end) {
  if (s.chunks == 1)
    for (; column + 4 * LANES<T> <= end; column += 4 * LANES<T>) by_elements<4, T>(s, first, last, column, LANES<T>);
  for (; column < end; column += LANES<T>) {
    const int lanes = (int)(end - column < LANES<T> ? end - column : LANES<T>);
    if (s.chunks == 1) by_elements<1, T>(s, first, last, column, lanes);
    else by_chunks<T>(s, first, last, column, lanes);
  }
}

}  // namespace
