// Products: C is done in tiles of a few rows and vectors that stay in registers, B comes from packed panels.
#pragma once
#include "kernels.h"
#include "vector.h"

namespace {

using graphrec::Product;

constexpr int HEIGHT = VECTOR_BYTES == 64 ? 12 : 6;  // rows of a tile: 24 or 12 sums of 32 or 16 registers
template <class T> constexpr int PANEL = 2 * LANES<T>;
constexpr int ROWS_AT_ONCE = 48;   // that use a panel while it is in the cache
constexpr int DEPTH = 512;         // of a panel at once

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// B of one tile: NV vectors of neighbouring panels.
template <class T, int NV> INLINE Vector<T> right(const T* b, int64_t panel_size, int64_t k, int v) {
  return load(b + (v / 2) * panel_size + k * PANEL<T> + (v % 2) * LANES<T>);
}

// `width` columns of a tile, more than the NV - 1 first vectors hold.
template <class T> INLINE Vector<T> load_columns(const T* p, int v, int64_t width) {
  int64_t left = width - v * LANES<T>;
  return left >= LANES<T> ? load(p + v * LANES<T>) : left > 0 ? load(p + v * LANES<T>, (int)left) : Vector<T>{};
}
template <class T> INLINE void store_columns(T* p, Vector<T> x, int v, int64_t width) {
  int64_t left = width - v * LANES<T>;
  if (left >= LANES<T>) store(p + v * LANES<T>, x);
  else if (left > 0) store(p + v * LANES<T>, x, (int)left);
}

// One tile of C = A B + I. A[r, k] = a[r * a_stride + k] or, where TRANSPOSED, a[k * a_stride + r].
template <class T, int MR, int NV, bool TRANSPOSED>
static __attribute__((noinline)) void tile(int64_t depth, const T* a, int64_t a_stride, const T* b, int64_t panel_size,
                                           T* c, int64_t c_stride, const T* i, int64_t i_stride, int64_t width) {
  Vector<T> sum[MR][NV];
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++)
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++) sum[r][v] = i ? load_columns(i + r * i_stride, v, width) : Vector<T>{};
  for (int64_t k = 0; k < depth; k++) {
    Vector<T> row[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++) row[v] = right<T, NV>(b, panel_size, k, v);
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++) {
      Vector<T> left = all(TRANSPOSED ? a[k * a_stride + r] : a[r * a_stride + k]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) sum[r][v] += left * row[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++)
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++) store_columns(c + r * c_stride, sum[r][v], v, width);
}

// A tile of `rows` rows, as wide as it may be: few rows take several panels, so that there are sums enough in flight.
constexpr int panels_of(int rows) {
  if (rows == 1) return 4;
  if (VECTOR_BYTES == 64) return rows == 2 ? 4 : rows <= 6 ? 2 : 1;
  return rows <= 2 ? 2 : 1;
}
INLINE int64_t panels_at_once(int most, int64_t columns, int64_t panel) {  // 1, 2 or 4, and no more than there are
  return most == 4 && columns > 3 * panel ? 4 : most >= 2 && columns > panel ? 2 : 1;
}
template <class T, int MR, bool TRANSPOSED, class... Rest>
INLINE void tile_of(int64_t width, int64_t depth, const T* a, Rest... rest) {
  constexpr int WIDE = 2 * panels_of(MR);
  if (width <= LANES<T>) tile<T, MR, 1, TRANSPOSED>(depth, a, rest..., width);
  else if (width <= PANEL<T> || WIDE == 2) tile<T, MR, 2, TRANSPOSED>(depth, a, rest..., width);
  else if (width <= 2 * PANEL<T> || WIDE == 4) tile<T, MR, WIDE == 2 ? 2 : 4, TRANSPOSED>(depth, a, rest..., width);
  else tile<T, MR, WIDE, TRANSPOSED>(depth, a, rest..., width);
}
template <class T, bool TRANSPOSED, class... Rest> INLINE void tile_of_rows(int rows, Rest... rest) {
  switch (rows) {
    case 1: tile_of<T, 1, TRANSPOSED>(rest...); break;
    case 2: tile_of<T, 2, TRANSPOSED>(rest...); break;
    case 3: tile_of<T, 3, TRANSPOSED>(rest...); break;
    case 4: tile_of<T, 4, TRANSPOSED>(rest...); break;
    case 5: tile_of<T, 5, TRANSPOSED>(rest...); break;
    case 6: tile_of<T, 6, TRANSPOSED>(rest...); break;
#if VECTOR_BYTES == 64
    case 7: tile_of<T, 7, TRANSPOSED>(rest...); break;
    case 8: tile_of<T, 8, TRANSPOSED>(rest...); break;
    case 9: tile_of<T, 9, TRANSPOSED>(rest...); break;
    case 10: tile_of<T, 10, TRANSPOSED>(rest...); break;
    case 11: tile_of<T, 11, TRANSPOSED>(rest...); break;
    case 12: tile_of<T, 12, TRANSPOSED>(rest...); break;
#endif
  }
}

template <class T> static void product(const Product<T>& p) {
  const int64_t panel_size = (int64_t)p.k * PANEL<T>;
  for (int64_t k = 0; k == 0 || k < p.k; k += DEPTH) {
    const int64_t depth = smaller(DEPTH, p.k - k);
    const T* begin = k ? p.c : p.i;  // what sums begin with
    const int64_t begin_stride = k ? p.c_stride : p.i_stride;
    for (int64_t top = 0; top < p.rows; top += ROWS_AT_ONCE) {
      const int64_t rows = smaller(ROWS_AT_ONCE, p.rows - top), blocks = (rows + HEIGHT - 1) / HEIGHT;
      const int most = panels_of((int)((rows + blocks - 1) / blocks));
      for (int64_t column = 0, step; column < p.n; column += step) {
        step = panels_at_once(most, p.n - column, PANEL<T>) * PANEL<T>;
        for (int64_t q = 0; q < blocks; q++) {  // blocks of nearly equal height
          const int64_t first = top + rows * q / blocks, last = top + rows * (q + 1) / blocks;
          tile_of_rows<T, false>((int)(last - first), smaller(step, p.n - column), depth, p.a + first * p.a_stride + k,
                                 p.a_stride, p.b + column * p.k + k * PANEL<T>, panel_size,
                                 p.c + first * p.c_stride + column, p.c_stride,
                                 begin ? begin + first * begin_stride + column : nullptr, begin_stride);
        }
      }
    }
  }
}

// C += A' B, B being packed. A is packed, in blocks with room for so many rows, or lies row by row.
template <class T, bool PACKED>
INLINE void add_transposed(int m, int n, int k, int room, const T* a, int64_t a_stride, const T* b, T* c,
                           int64_t c_stride) {
  const int64_t blocks = (m + HEIGHT - 1) / HEIGHT;
  for (int64_t column = 0; column < n; column += PANEL<T>)
    for (int64_t q = 0; q < blocks; q++) {
      const int64_t first = m * q / blocks, rows = m * (q + 1) / blocks - first;
      T* to = c + first * c_stride + column;
      tile_of_rows<T, true>((int)rows, smaller(PANEL<T>, n - column), (int64_t)k, a + first * (PACKED ? room : 1),
                            PACKED ? rows : a_stride, b + column * room, (int64_t)0, to, c_stride, (const T*)to,
                            c_stride);
    }
}

template <class T>
static void product_transposed(int m, int n, int k, int room, const T* a, const T* b, T* c, int64_t c_stride) {
  add_transposed<T, true>(m, n, k, room, a, 0, b, c, c_stride);
}

// `width` columns of a panel, k rows; those beyond are zero.
template <class T>
INLINE void pack_panel(const T* from, int64_t row, int64_t column, int64_t depth, int64_t width, T* panel) {
  if (column == 1) {
    for (int64_t k = 0; k < depth; k++, panel += PANEL<T>)
      for (int v = 0; v < 2; v++) store(panel + v * LANES<T>, load_columns(from + k * row, v, width));
    return;
  }
  for (int64_t top = 0; top < depth; top += 16) {  // blocks, so that whole lines of the cache are read
    const int64_t rows = smaller(depth - top, 16);
    for (int64_t j = 0; j < width; j++) {
      const T* a = from + top * row + j * column;
      T* to = panel + top * PANEL<T> + j;
      for (int64_t k = 0; k < rows; k++) to[k * PANEL<T>] = a[k * row];
    }
    for (int64_t k = top; k < top + rows; k++)
      for (int64_t j = width; j < PANEL<T>; j++) panel[k * PANEL<T> + j] = 0;
  }
}
template <class T>
static void pack(const T* w, int64_t row, int64_t column, int depth, int n, int first, int last, T* to) {
  for (int64_t p = first; p < last; p++)
    pack_panel(w + p * PANEL<T> * column, row, column, depth, smaller(PANEL<T>, n - p * PANEL<T>),
               to + p * depth * PANEL<T>);
}

// Both copy row by row, as the memory that they read lies, and ask for the rows that come soon.
constexpr int COMING = 8;
template <class T> static void pack_right(const T* from, int64_t stride, int rows, int n, int at, int room, T* to) {
  for (int64_t k = 0; k < rows; k++)
    for (int64_t column = 0; column < n; column += PANEL<T>) {
      for (int v = 0; v < 2; v++) __builtin_prefetch(from + (k + COMING) * stride + column + v * LANES<T>);
      T* packed = to + column * room + (at + k) * PANEL<T>;
      for (int v = 0; v < 2; v++) store(packed + v * LANES<T>, load_columns(from + k * stride + column, v, n - column));
    }
}

template <class T> static void pack_left(const T* from, int64_t stride, int rows, int m, int at, int room, T* to) {
  const int64_t blocks = (m + HEIGHT - 1) / HEIGHT, least = blocks ? m / blocks : 0, rest = blocks ? m % blocks : 0;
  for (int64_t k = 0; k < rows; k++)
    for (int64_t first = 0, left_over = 0; first < m;) {
      left_over += rest;
      const bool higher = left_over >= blocks;  // as block q ends at m * (q + 1) / blocks
      const int64_t height = least + higher;
      left_over -= higher ? blocks : 0;
      __builtin_prefetch(from + (k + COMING) * stride + first);
      T* packed = to + first * room + (at + k) * height;
      for (int64_t r = 0; r < height; r += LANES<T>) {
        const int n = (int)smaller(LANES<T>, height - r);
        store(packed + r, load(from + k * stride + first + r, n), n);
      }
      first += height;
    }
}

// B is packed for the zeros beyond its columns; A is read where it lies, in the cache.
template <class T>
static void outer(int m, int n, int k, const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* c, T* room) {
  pack_right(b, b_stride, k, n, 0, k, room);
  add_transposed<T, false>(m, n, k, k, a, a_stride, room, c, n);
}

}  // namespace
