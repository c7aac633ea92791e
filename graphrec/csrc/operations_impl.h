// Elementwise operations over rows: a loop over vectors of a row, a loop over rows, and a table from Op to equations.
#pragma once
#include "functions.h"
#include "kernels.h"

namespace {

using graphrec::Operation;
using graphrec::Rows;
using graphrec::STRIP;

template <class T> INLINE T* row(const Rows<T>& r, int64_t i) {
  int64_t number = r.index ? r.index[i] : i;
  if (r.split == 0) return r.base + (number - r.origin) * r.stride;
  int64_t whole = number / r.split;
  return r.base + (whole - r.origin) * r.stride + (number - whole * r.split) * r.shift;
}
template <class T> INLINE bool is_dense(const Rows<T>& r, int64_t width) {
  return !r.index && !r.split && r.stride == width;
}

// f over `count` numbers of up to three operands (READS).
template <int READS, class T, class F> INLINE void along(int64_t count, T* d, const T* a, const T* b, const T* c, F f) {
  const Vector<T> none = {};
  int64_t j = 0;
  for (; j + LANES<T> <= count; j += LANES<T>)
    store(d + j, f(READS > 0 ? load(a + j) : none, READS > 1 ? load(b + j) : none, READS > 2 ? load(c + j) : none));
  if (j == count) return;
  const int n = (int)(count - j);
  const Vector<T> x = READS > 0 ? load(a + j, n) : none, y = READS > 1 ? load(b + j, n) : none;
  store(d + j, f(x, y, READS > 2 ? load(c + j, n) : none), n);
}

// Rows that are read by an index lie anywhere: those that come soon, maybe in the next tile, are asked for. They go to
// the second cache: the first has room for a few requests at a time only.
constexpr int64_t AHEAD = 32;
template <class T> INLINE void ask_ahead(const Operation<T>& o, const Rows<T>& r, int64_t i, int64_t width) {
  if (!r.index || i + AHEAD >= o.rows + o.coming) return;
  const char* from = reinterpret_cast<const char*>(row(r, i + AHEAD));
  for (int64_t at = 0; at < width * (int64_t)sizeof(T); at += 64) __builtin_prefetch(from + at, 0, 2);
}

// f over rows; where rows follow each other without gaps, they are one long row.
template <int READS, class T, class F> INLINE void each(const Operation<T>& o, F f) {
  const int64_t w = o.width;
  const bool dense = is_dense(o.d, w) && (READS < 1 || is_dense(o.a, w)) && (READS < 2 || is_dense(o.b, w));
  if (dense && (READS < 3 || is_dense(o.c, w)))
    return along<READS>(o.rows * w, o.d.base, o.a.base, o.b.base, o.c.base, f);
  for (int64_t i = 0; i < o.rows; i++) {
    if (READS > 0) ask_ahead(o, o.a, i, w);
    if (READS > 1) ask_ahead(o, o.b, i, w);
    const T *a = READS > 0 ? row(o.a, i) : nullptr, *b = READS > 1 ? row(o.b, i) : nullptr;
    along<READS>(w, row(o.d, i), a, b, READS > 2 ? row(o.c, i) : nullptr, f);
  }
}

// N vectors of columns of the rows first to last - 1, which all go to one, added in order; the last has `lanes` columns.
template <int N, int READS, class T, class F>
INLINE void accumulate_columns(const Operation<T>& o, int64_t first, int64_t last, int64_t column, int lanes, F f) {
  const bool whole = N > 1 || lanes == LANES<T>;
  T* d = row(o.d, first) + column;
  Vector<T> sum[N];
  for (int v = 0; v < N; v++) sum[v] = whole ? load(d + v * LANES<T>) : load(d, lanes);
  for (int64_t i = first; i < last; i++) {
    if (column == 0) ask_ahead(o, o.a, i, o.width);
    if (column == 0 && READS > 1) ask_ahead(o, o.b, i, o.width);
    const T *a = row(o.a, i) + column, *b = READS > 1 ? row(o.b, i) + column : nullptr;
    for (int v = 0; v < N; v++) {
      const int64_t at = v * LANES<T>;
      const Vector<T> x = whole ? load(a + at) : load(a, lanes);
      sum[v] = f(sum[v], x, READS < 2 ? Vector<T>{} : whole ? load(b + at) : load(b, lanes));
    }
  }
  for (int v = 0; v < N; v++) {
    if (whole) store(d + v * LANES<T>, sum[v]);
    else store(d, sum[v], lanes);
  }
}

// d = f(d, a, b), row after row. Rows that follow each other and go to one are added up in registers.
template <int READS, class T, class F> INLINE void accumulate(const Operation<T>& o, F f) {
  const bool is_one = !o.d.index && !o.d.stride;
  for (int64_t first = 0, last; first < o.rows; first = last) {
    last = is_one ? o.rows : first + 1;
    if (o.d.index)
      while (last < o.rows && o.d.index[last] == o.d.index[first]) last++;
    int64_t column = 0;
    for (; column + 4 * LANES<T> <= o.width; column += 4 * LANES<T>)
      accumulate_columns<4, READS>(o, first, last, column, LANES<T>, f);
    for (; column < o.width; column += LANES<T>) {
      const int lanes = o.width - column < LANES<T> ? (int)(o.width - column) : LANES<T>;
      accumulate_columns<1, READS>(o, first, last, column, lanes, f);
    }
  }
}

// d[j] += a[j / k] * b[j], row after row.
template <class T> static void accumulate_scaled(const Operation<T>& o) {
  for (int64_t i = 0; i < o.rows; i++) {
    ask_ahead(o, o.a, i, o.width / o.k);
    ask_ahead(o, o.b, i, o.width);
    T* d = row(o.d, i);
    const T *a = row(o.a, i), *b = row(o.b, i);
    for (int64_t q = 0; q < o.width / o.k; q++, d += o.k, b += o.k) {
      const Vector<T> x = all(a[q]);
      along<2>(o.k, d, (const T*)d, b, b, [=](auto total, auto y, auto) { return total + x * y; });
    }
  }
}

// Operations that change the number of columns.
template <class T> static void repeat_each(const Operation<T>& o) {
  for (int64_t i = 0; i < o.rows; i++) {
    ask_ahead(o, o.a, i, o.width / o.k);
    T* d = row(o.d, i);
    const T* a = row(o.a, i);
    for (int64_t q = 0; q < o.width / o.k; q++) {
      const Vector<T> x = all(a[q]);
      along<0>(o.k, d + q * o.k, (const T*)d, (const T*)d, (const T*)d, [=](auto, auto, auto) { return x; });
    }
  }
}
template <class T> static void repeat_all(const Operation<T>& o) {
  const int64_t width = o.width / o.k;
  for (int64_t i = 0; i < o.rows; i++)
    for (int64_t q = 0; q < o.k; q++) {
      const T* a = row(o.a, i);
      along<1>(width, row(o.d, i) + q * width, a, a, a, [](auto x, auto, auto) { return x; });
    }
}
template <class T> static void sum_each(const Operation<T>& o) {
  for (int64_t i = 0; i < o.rows; i++) {
    T* d = row(o.d, i);
    for (int64_t q = 0; q < o.width / o.k; q++) {
      const T* a = row(o.a, i) + q * o.k;
      Vector<T> sum = {};
      int64_t j = 0;
      for (; j + LANES<T> <= o.k; j += LANES<T>) sum += load(a + j);
      if (j < o.k) sum += load(a + j, (int)(o.k - j));
      d[q] = sum_of_lanes<T>(sum);
    }
  }
}
template <class T> static void sum_all(const Operation<T>& o) {
  const int64_t width = o.width / o.k;
  for (int64_t i = 0; i < o.rows; i++) {
    T* d = row(o.d, i);
    const T* a = row(o.a, i);
    for (int64_t j = 0; j < width; j += LANES<T>) {
      const int n = width - j < LANES<T> ? (int)(width - j) : LANES<T>;
      Vector<T> sum = {};
      for (int64_t q = 0; q < o.k; q++) sum += load(a + q * width + j, n);
      store(d + j, sum, n);
    }
  }
}
template <class T> static void every(const Operation<T>& o) {
  for (int64_t i = 0; i < o.rows; i++) {
    T* d = row(o.d, i);
    const T* a = row(o.a, i);
    for (int64_t j = 0; j < o.width / o.k; j++) d[j] = a[j * o.k];
  }
}

template <class T> static void operate_on_rows(const Operation<T>& o) {
  typedef Vector<T> V;
  const V imm = all(o.imm), one = all(T(1)), zero = {};
  switch (o.op) {
#define UNARY(OP, EQUATION) case OP: each<1>(o, [=](V a, V, V) { return EQUATION; }); break;
#define BINARY(OP, EQUATION) case OP: each<2>(o, [=](V a, V b, V) { return EQUATION; }); break;
#define TERNARY(OP, EQUATION) case OP: each<3>(o, [=](V a, V b, V c) { return EQUATION; }); break;
    case SET: each<0>(o, [=](V, V, V) { return imm; }); break;
    case REPEAT_EACH: repeat_each(o); break;
    case REPEAT_ALL: repeat_all(o); break;
    case SUM_EACH: sum_each(o); break;
    case SUM_ALL: sum_all(o); break;
    case EVERY: every(o); break;
    UNARY(COPY, a)
    BINARY(ADD, a + b)
    BINARY(SUB, a - b)
    BINARY(MUL, a * b)
    BINARY(DIV, a / b)
    TERNARY(FMA, a * b + c)
    TERNARY(FNMA, c - a * b)
    UNARY(NEG, -a)
    UNARY(ADD_IMM, a + imm)
    UNARY(MUL_IMM, a * imm)
    UNARY(RSUB_IMM, imm - a)
    UNARY(RECIPROCAL, one / a)
    UNARY(SQUARE, a * a)
    UNARY(SQRT, square_root(a))
    UNARY(RSQRT, one / square_root(a))
    UNARY(ABS, magnitude(a))
    UNARY(SIGN, a > zero ? one : (a < zero ? -one : zero))
    BINARY(MAXIMUM, maximum(a, b))
    BINARY(MINIMUM, minimum(a, b))
    UNARY(MAX_IMM, a < imm ? imm : a)
    UNARY(MIN_IMM, a > imm ? imm : a)
    UNARY(EXP, exponential(a))
    UNARY(LOG, logarithm(a))
    UNARY(SIGMOID, logistic(a))
    UNARY(TANH, hyperbolic_tangent(a))
    UNARY(SIN, sine(a))
    UNARY(COS, cosine(a))
    UNARY(ERF, error_function(a))
    UNARY(SOFTPLUS, softplus(a))
    UNARY(EXPM1, exponential_minus_1(a))
    UNARY(LOG1P, logarithm_of_1_plus(a))
    BINARY(GREATER, a > b ? one : zero)
    BINARY(GREATER_EQUAL, a >= b ? one : zero)
    BINARY(EQUAL, a == b ? one : zero)
    UNARY(GREATER_IMM, a > imm ? one : zero)
    UNARY(LESS_IMM, a < imm ? one : zero)
    UNARY(EQUAL_IMM, a == imm ? one : zero)
    TERNARY(SELECT, a != zero ? b : c)
    BINARY(SIGMOID_GRAD, a * b * (one - b))
    BINARY(TANH_GRAD, a * (one - b * b))
    BINARY(RELU_GRAD, b <= zero ? zero : a)
    case ACCUMULATE: accumulate<1>(o, [](V d, V a, V) { return d + a; }); break;
    case ACCUMULATE_PRODUCT: accumulate<2>(o, [](V d, V a, V b) { return d + a * b; }); break;
    case ACCUMULATE_SCALED: accumulate_scaled(o); break;
    case ACCUMULATE_MAX: accumulate<1>(o, [](V d, V a, V) { return maximum(d, a); }); break;
#undef UNARY
#undef BINARY
#undef TERNARY
  }
}

// Rows narrower than a vector would waste most of its lanes: operands that are not dense are made so, on the stack.
template <class T> INLINE void copy_to_dense(const Rows<T>& from, int64_t rows, int64_t width, T* to) {
  for (int64_t i = 0; i < rows; i++) {
    const T* a = row(from, i);
    for (int64_t j = 0; j < width; j++) to[i * width + j] = a[j];
  }
}
template <class T> INLINE void copy_from_dense(const T* from, int64_t rows, int64_t width, const Rows<T>& to) {
  for (int64_t i = 0; i < rows; i++) {
    T* d = row(to, i);
    for (int64_t j = 0; j < width; j++) d[j] = from[i * width + j];
  }
}
constexpr bool is_accumulation(int op) { return op >= ACCUMULATE && op <= ACCUMULATE_SCALED; }
constexpr bool changes_width(int op) { return op >= REPEAT_EACH && op <= EVERY; }

template <class T> static void operate_on_narrow_rows(const Operation<T>& o) {
  alignas(64) T dense[4][STRIP];
  Operation<T> inner = o;
  Rows<T>* operands[4] = {&inner.d, &inner.a, &inner.b, &inner.c};
  for (int q = 1; q < 4; q++) {
    Rows<T>& r = *operands[q];
    if (!r.base || is_dense(r, o.width)) continue;
    copy_to_dense(r, o.rows, o.width, dense[q]);
    r = {dense[q], nullptr, 0, o.width, 0, 0};
  }
  if (is_dense(o.d, o.width)) return operate_on_rows(inner);
  inner.d = {dense[0], nullptr, 0, o.width, 0, 0};
  operate_on_rows(inner);
  copy_from_dense(dense[0], o.rows, o.width, o.d);
}

template <class T> static void operate(const Operation<T>& o) {
  if (o.width < LANES<T> && o.rows > 1 && o.rows * o.width <= STRIP && !is_accumulation(o.op) && !changes_width(o.op))
    operate_on_narrow_rows(o);
  else
    operate_on_rows(o);
}

}  // namespace
