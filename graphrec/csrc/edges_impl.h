// Sums and softmax over inboxes, for nodes first to last - 1; see edges.h.
#pragma once
#include "functions.h"
#include "kernels.h"

namespace {

using graphrec::STRIP;

constexpr int64_t EDGES = 16;  // at once: their rows stay in the first cache
constexpr int64_t SOON = 12;   // this many edges ahead memory is asked for

template <class T> INLINE int64_t end_of(const int64_t* begin, int64_t node, int64_t nodes, int64_t edges) {
  return node + 1 < nodes ? begin[node + 1] : edges;
}

template <class T> INLINE void ask_for(const T* row, int64_t width) {
  const char* from = reinterpret_cast<const char*>(row);
  for (int64_t at = 0; at < width * (int64_t)sizeof(T); at += 64) __builtin_prefetch(from + at);
}

// Each number becomes `width` of them, the reverse of `add_up_groups`.
template <class T> INLINE void repeat_each(T* numbers, int64_t count, int64_t width) {
  T other[STRIP];
  int64_t odd = width;
  while (odd % 2 == 0) odd /= 2;
  if (odd > 1) {
    for (int64_t i = 0; i < count; i++) other[i] = numbers[i];
    for (int64_t i = 0; i < count; i++)
      for (int64_t j = 0; j < odd; j++) numbers[i * odd + j] = other[i];
  }
  for (int64_t all = count * odd; odd < width; odd *= 2, all *= 2) {
    for (int64_t i = 0; i < all; i++) other[i] = numbers[i];
    for (int64_t i = 0; i < all; i++) numbers[2 * i] = numbers[2 * i + 1] = other[i];
  }
}

// Whether the numbers of some edges fit into a strip, and heads are narrower than vectors, which then span several.
template <class T> INLINE bool are_narrow(const EdgeSums& s) {
  return s.heads > 1 && s.width < LANES<T> && s.heads * s.width * EDGES <= STRIP;
}

// Adds the weighed rows of the edges first to last - 1 of an inbox to N vectors of columns; the last has `lanes`
// columns. `weight`: the number of edge e is weight[e * step], or where `wide` a vector that begins there.
template <int N, class T>
INLINE void add_rows(const EdgeSums& s, int64_t first, int64_t last, int64_t column, int lanes, const T* weight,
                     int64_t step, bool wide, bool fresh, T* sum) {
  const T* rows = static_cast<const T*>(s.rows) + column;
  const int64_t stride = s.heads * s.width;
  const bool whole = N > 1 || lanes == LANES<T>;
  Vector<T> total[N];
  for (int v = 0; v < N; v++) {
    T* from = sum + column + v * LANES<T>;
    total[v] = fresh ? Vector<T>{} : whole ? load(from) : load(from, lanes);
  }
  for (int64_t e = first; e < last; e++) {
    const T *row = rows + s.source[e] * stride, *w = weight ? weight + (e - first) * step : nullptr;
    for (int v = 0; v < N; v++) {
      const Vector<T> x = whole ? load(row + v * LANES<T>) : load(row, lanes);
      if (!w) total[v] += x;
      else total[v] += x * (!wide ? all<T>(*w) : whole ? load(w + v * LANES<T>) : load(w, lanes));
    }
  }
  for (int v = 0; v < N; v++) {
    T* to = sum + column + v * LANES<T>;
    if (whole) store(to, total[v]);
    else store(to, total[v], lanes);
  }
}

template <class T>
INLINE void add_columns(const EdgeSums& s, int64_t first, int64_t last, int64_t column, int64_t end, const T* weight,
                        int64_t step, bool wide, bool fresh, T* sum) {
  const int64_t begin = column;
  const auto from = [&] { return wide ? weight + (column - begin) : weight; };
  for (; column + 4 * LANES<T> <= end; column += 4 * LANES<T>)
    add_rows<4>(s, first, last, column, LANES<T>, from(), step, wide, fresh, sum);
  for (; column < end; column += LANES<T>) {
    const int lanes = (int)(end - column < LANES<T> ? end - column : LANES<T>);
    add_rows<1>(s, first, last, column, lanes, from(), step, wide, fresh, sum);
  }
}

template <class T> INLINE void add_inbox(const EdgeSums& s, int64_t first, int64_t last, bool fresh, T* sum) {
  const T* given = static_cast<const T*>(s.weight);
  const int64_t heads = s.heads, stride = heads * s.width;
  if (!given) return add_columns<T>(s, first, last, 0, stride, nullptr, 0, false, fresh, sum);
  T weight[STRIP];
  if (are_narrow<T>(s)) {
    for (int64_t e = first; e < last; e++)
      for (int64_t head = 0; head < heads; head++)
        weight[(e - first) * heads + head] = given[(s.number ? s.number[e] : e) * heads + head];
    repeat_each(weight, (last - first) * heads, s.width);
    return add_columns<T>(s, first, last, 0, stride, weight, stride, true, fresh, sum);
  }
  for (int64_t head = 0; head < heads; head++) {
    for (int64_t e = first; e < last; e++) weight[e - first] = given[(s.number ? s.number[e] : e) * heads + head];
    add_columns<T>(s, first, last, head * s.width, (head + 1) * s.width, weight, 1, false, fresh, sum);
  }
}

template <class T> INLINE T inner_product(const T* a, const T* b, int64_t count) {
  Vector<T> total = {};
  int64_t j = 0;
  for (; j + LANES<T> <= count; j += LANES<T>) total += load(a + j) * load(b + j);
  if (j < count) total += load(a + j, (int)(count - j)) * load(b + j, (int)(count - j));
  return sum_of_lanes<T>(total);
}

// Each group of `width` numbers becomes its sum: neighbours are added up while there is an even number of them, which
// takes a few operations for many groups, where a sum of each would take as many for one.
template <class T> INLINE void add_up_groups(T* numbers, int64_t groups, int64_t width) {
  T other[STRIP];
  while (width % 2 == 0) {
    width /= 2;
    const int64_t half = groups * width;
    for (int64_t i = 0; i < half; i++) other[i] = numbers[2 * i] + numbers[2 * i + 1];
    for (int64_t i = 0; i < half; i++) numbers[i] = other[i];
  }
  if (width == 1) return;
  for (int64_t group = 0; group < groups; group++) {
    T total = numbers[group * width];
    for (int64_t i = 1; i < width; i++) total += numbers[group * width + i];
    numbers[group] = total;
  }
}

template <class T> INLINE void agree(const EdgeSums& s, int64_t first, int64_t last, const T* other) {
  const T* rows = static_cast<const T*>(s.rows);
  T* agreement = static_cast<T*>(s.agreement);
  const int64_t stride = s.heads * s.width;
  const auto place = [&](int64_t e) { return agreement + (s.number ? s.number[e] : e) * s.heads; };
  if (!are_narrow<T>(s)) {
    for (int64_t e = first; e < last; e++)
      for (int64_t head = 0; head < s.heads; head++)
        place(e)[head] = inner_product(rows + s.source[e] * stride + head * s.width, other + head * s.width, s.width);
    return;
  }
  T products[STRIP];
  for (int64_t e = first; e < last; e++) {
    const T* row = rows + s.source[e] * stride;
    T* to = products + (e - first) * stride;
    int64_t j = 0;
    for (; j + LANES<T> <= stride; j += LANES<T>) store(to + j, load(row + j) * load(other + j));
    for (; j < stride; j++) to[j] = row[j] * other[j];
  }
  add_up_groups(products, (last - first) * s.heads, s.width);
  for (int64_t e = first; e < last; e++)
    for (int64_t head = 0; head < s.heads; head++) place(e)[head] = products[(e - first) * s.heads + head];
}

template <class T> void edge_sums(const EdgeSums& s, int64_t first_node, int64_t last_node) {
  const int64_t stride = s.heads * s.width;
  const T *rows = static_cast<const T*>(s.rows), *weight = static_cast<const T*>(s.weight);
  for (int64_t node = first_node; node < last_node; node++) {
    const int64_t begin = s.begin[node], end = end_of<T>(s.begin, node, s.nodes, s.edges);
    T* sum = s.sums ? static_cast<T*>(s.sums) + node * stride : nullptr;
    if (sum && begin == end)
      for (int64_t j = 0; j < stride; j++) sum[j] = 0;
    for (int64_t first = begin; first < end; first += EDGES) {
      const int64_t last = first + EDGES < end ? first + EDGES : end;
      for (int64_t e = first + SOON; e < last + SOON && e < s.edges; e++) {
        ask_for(rows + s.source[e] * stride, stride);
        if (s.number && weight) ask_for(weight + s.number[e] * s.heads, s.heads);
        if (s.number && s.agreement) ask_for(static_cast<T*>(s.agreement) + s.number[e] * s.heads, s.heads);
      }
      if (sum) add_inbox(s, first, last, first == begin, sum);
      if (s.agreement) agree(s, first, last, static_cast<const T*>(s.others) + node * stride);
    }
  }
}

// One inbox, n columns from `column` on.
template <class T> INLINE void softmax_of(const InboxSoftmax& s, int64_t node, int64_t column, int n) {
  const int64_t begin = s.begin[node], end = end_of<T>(s.begin, node, s.nodes, s.edges);
  const auto at = [&](const void* rows, int64_t row) { return load((const T*)rows + row * s.heads + column, n); };
  const auto put = [&](void* rows, int64_t row, Vector<T> v) { store((T*)rows + row * s.heads + column, v, n); };
  if (s.grad) {
    Vector<T> total = s.own ? at(s.own, node) * at(s.own_grad, node) : Vector<T>{};
    for (int64_t e = begin; e < end; e++) total += at(s.in, e) * at(s.grad, e);
    for (int64_t e = begin; e < end; e++) put(s.out, e, at(s.in, e) * (at(s.grad, e) - total));
    if (s.own) put(s.own_out, node, at(s.own, node) * (at(s.own_grad, node) - total));
    return;
  }
  if (begin == end && !s.own) return;
  Vector<T> highest = s.own ? at(s.own, node) : at(s.in, begin);
  for (int64_t e = begin; e < end; e++) highest = maximum(highest, at(s.in, e));
  const Vector<T> own = s.own ? exponential(at(s.own, node) - highest) : Vector<T>{};
  Vector<T> total = own;
  for (int64_t e = begin; e < end; e++) {
    const Vector<T> weight = exponential(at(s.in, e) - highest);
    put(s.out, e, weight);
    total += weight;
  }
  for (int64_t e = begin; e < end; e++) put(s.out, e, at(s.out, e) / total);
  if (s.own) put(s.own_out, node, own / total);
}

template <class T> void inbox_softmax(const InboxSoftmax& s, int64_t first_node, int64_t last_node) {
  for (int64_t node = first_node; node < last_node; node++)
    for (int64_t column = 0; column < s.heads; column += LANES<T>)
      softmax_of<T>(s, node, column, (int)(s.heads - column < LANES<T> ? s.heads - column : LANES<T>));
}

}  // namespace
