// Products of float32 whose operands are rounded to bfloat16, two of which are multiplied and added up in float32 at a
// time (vdpbf16ps): for x86 processors with AVX-512 BF16; empty elsewhere, and where the compiler does not know them.
// A packed number is a pair: the bfloat16 of an even row k below that of row k + 1 (zero where there is none).
#include "kernels.h"

#if defined(__AVX512BF16__)
#define VECTOR_BYTES 64
#include "products_impl.h"

namespace {

typedef __m512i Pairs;  // 16 of them

constexpr int PAIR_DEPTH = DEPTH / 2;

INLINE Pairs load_pairs(const void* p) { return _mm512_loadu_si512(p); }
INLINE void store_pairs(void* p, Pairs x) { _mm512_storeu_si512(p, x); }
INLINE __m512 multiplied(__m512 sum, Pairs a, Pairs b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

INLINE Pairs rounded(Floats x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x)); }
// Of two rows of 16 numbers: the pairs of those above each other.
INLINE Pairs paired(Floats low, Floats high) {
  return _mm512_or_si512(rounded(low), _mm512_slli_epi32(rounded(high), 16));
}

// One tile of C = A B + I; see `tile` of products_impl.h. A[r, pair] = a[r * a_row + pair * a_step].
template <int MR, int NV>
static __attribute__((noinline)) void tile_of_pairs(int64_t depth, const uint32_t* a, int64_t a_row, int64_t a_step,
                                                    const uint32_t* b, int64_t panel_size, float* c, int64_t c_stride,
                                                    const float* i, int64_t i_stride, int64_t width) {
  __m512 sum[MR][NV];
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++)
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++) sum[r][v] = (__m512)(i ? load_columns(i + r * i_stride, v, width) : Floats{});
  for (int64_t k = 0; k < depth; k++) {
    Pairs row[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++)
      row[v] = load_pairs(b + (v / 2) * panel_size + k * PANEL<float> + (v % 2) * LANES<float>);
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++) {
      const Pairs left = _mm512_set1_epi32((int)a[r * a_row + k * a_step]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) sum[r][v] = multiplied(sum[r][v], left, row[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++)
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++) store_columns(c + r * c_stride, (Floats)sum[r][v], v, width);
}

template <int MR, class... Rest> INLINE void pairs_of_rows(int rows, int64_t width, Rest... rest) {
  if (rows < MR) {
    if constexpr (MR > 1) pairs_of_rows<MR - 1>(rows, width, rest...);
    return;
  }
  constexpr int WIDE = 2 * panels_of(MR);
  if (width <= LANES<float>) tile_of_pairs<MR, 1>(rest..., width);
  else if (width <= PANEL<float> || WIDE == 2) tile_of_pairs<MR, 2>(rest..., width);
  else if (width <= 2 * PANEL<float> || WIDE == 4) tile_of_pairs<MR, WIDE == 2 ? 2 : 4>(rest..., width);
  else tile_of_pairs<MR, WIDE>(rest..., width);
}

// Some columns of some rows, as pairs, one row of PAIR_DEPTH after the other.
static void round_rows(const float* a, int64_t stride, int64_t rows, int64_t depth, uint32_t* to) {
  for (int64_t r = 0; r < rows; r++, a += stride, to += PAIR_DEPTH)
    for (int64_t k = 0; k < depth; k += 2 * LANES<float>) {
      const Floats low = load_columns(a + k, 0, depth - k), high = load_columns(a + k, 1, depth - k);
      store_pairs(to + k / 2, (Pairs)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
    }
}

static void product_of_pairs(const Product<float>& p) {
  const int64_t panel_size = (int64_t)(p.k + 1) / 2 * PANEL<float>;
  alignas(64) uint32_t left[ROWS_AT_ONCE * PAIR_DEPTH];
  for (int64_t k = 0; k == 0 || k < p.k; k += DEPTH) {
    const int64_t depth = smaller(DEPTH, p.k - k), pairs = (depth + 1) / 2;
    const float* begin = k ? p.c : p.i;  // what sums begin with
    const int64_t begin_stride = k ? p.c_stride : p.i_stride;
    for (int64_t top = 0; top < p.rows; top += ROWS_AT_ONCE) {
      const int64_t rows = smaller(ROWS_AT_ONCE, p.rows - top), blocks = (rows + HEIGHT - 1) / HEIGHT;
      const int most = panels_of((int)((rows + blocks - 1) / blocks));
      round_rows(p.a + top * p.a_stride + k, p.a_stride, rows, depth, left);
      for (int64_t column = 0, step; column < p.n; column += step) {
        step = panels_at_once(most, p.n - column, PANEL<float>) * PANEL<float>;
        const uint32_t* b = (const uint32_t*)p.b + column / PANEL<float> * panel_size + k / 2 * PANEL<float>;
        for (int64_t q = 0; q < blocks; q++) {  // blocks of nearly equal height
          const int64_t first = rows * q / blocks, last = rows * (q + 1) / blocks;
          float* c = p.c + (top + first) * p.c_stride + column;
          const float* i = begin ? begin + (top + first) * begin_stride + column : nullptr;
          pairs_of_rows<HEIGHT>((int)(last - first), smaller(step, p.n - column), pairs, left + first * PAIR_DEPTH,
                                (int64_t)PAIR_DEPTH, (int64_t)1, b, panel_size, c, p.c_stride, i, begin_stride);
        }
      }
    }
  }
}

static void pack_pairs(const float* w, int64_t row, int64_t column, int depth, int n, int first, int last, float* to) {
  const int64_t panel_size = (int64_t)(depth + 1) / 2 * PANEL<float>;
  for (int64_t p = first; p < last; p++) {
    const int64_t width = smaller(PANEL<float>, n - p * PANEL<float>);
    const float* from = w + p * PANEL<float> * column;
    uint32_t* panel = (uint32_t*)to + p * panel_size;
    for (int64_t top = 0; top < depth; top += 16) {  // blocks, so that either order of w reads whole lines of the cache
      const int64_t rows = smaller(16, depth - top);
      alignas(64) float block[16][PANEL<float>] = {};
      for (int64_t j = 0; j < width; j++)
        for (int64_t k = 0; k < rows; k++) block[k][j] = from[(top + k) * row + j * column];
      for (int64_t k = 0; k < rows; k += 2)
        for (int v = 0; v < PANEL<float>; v += LANES<float>)
          store_pairs(panel + (top + k) / 2 * PANEL<float> + v, paired(load(block[k] + v), load(block[k + 1] + v)));
    }
  }
}

// For C += A' B: rows `at` and following of a block become halves of pairs, two rows at once where both are here.
// pack(low, high, pair): of a pair of which half is not here, that is null; the upper half may come later, and is zero
// until then.
template <class Pack> INLINE void pack_rows(const float* from, int64_t stride, int64_t rows, int64_t at, Pack pack) {
  int64_t k = 0;
  if (at % 2 && rows) pack(nullptr, from, at / 2), k = 1;
  for (; k + 1 < rows; k += 2) pack(from + k * stride, from + (k + 1) * stride, (at + k) / 2);
  if (k < rows) pack(from + k * stride, nullptr, (at + k) / 2);
}

// `width` columns of a pair of rows.
INLINE void pack_columns(const float* low, const float* high, int64_t width, uint32_t* to) {
  const __mmask16 there = width < LANES<float> ? (__mmask16)((1u << width) - 1) : (__mmask16)0xffff;
  const auto half = [&](const float* row) {
    return row ? rounded((Floats)_mm512_maskz_loadu_ps(there, row)) : _mm512_setzero_si512();
  };
  const Pairs lower = low ? half(low) : _mm512_maskz_loadu_epi32(there, to);
  _mm512_mask_storeu_epi32(to, there, _mm512_or_si512(lower, _mm512_slli_epi32(half(high), 16)));
}

// `room` rows become room / 2 rows of pairs, in panels and blocks of columns as those of products_impl.h. Of a panel,
// columns that are not there are never read back.
static void pack_right_pairs(const float* from, int64_t stride, int rows, int n, int at, int room, float* to) {
  pack_rows(from, stride, rows, at, [=](const float* low, const float* high, int64_t pair) {
    for (int64_t column = 0; column < n; column += LANES<float>) {
      const int64_t panel = column / PANEL<float> * PANEL<float>;
      uint32_t* packed = (uint32_t*)to + panel * (room / 2) + pair * PANEL<float> + (column - panel);
      pack_columns(low ? low + column : nullptr, high ? high + column : nullptr, n - column, packed);
    }
  });
}

static void pack_left_pairs(const float* from, int64_t stride, int rows, int m, int at, int room, float* to) {
  const int64_t blocks = (m + HEIGHT - 1) / HEIGHT;
  pack_rows(from, stride, rows, at, [=](const float* low, const float* high, int64_t pair) {
    for (int64_t q = 0, first = 0; q < blocks; q++) {
      const int64_t next = m * (q + 1) / blocks, height = next - first;
      uint32_t* packed = (uint32_t*)to + first * (room / 2) + pair * height;
      pack_columns(low ? low + first : nullptr, high ? high + first : nullptr, height, packed);
      first = next;
    }
  });
}

static void product_of_pairs_transposed(int m, int n, int k, int room, const float* a, const float* b, float* c,
                                        int64_t c_stride) {
  const int64_t blocks = (m + HEIGHT - 1) / HEIGHT, pairs = (k + 1) / 2;
  for (int64_t column = 0; column < n; column += PANEL<float>)
    for (int64_t q = 0; q < blocks; q++) {
      const int64_t first = m * q / blocks, rows = m * (q + 1) / blocks - first;
      float* to = c + first * c_stride + column;
      pairs_of_rows<HEIGHT>((int)rows, smaller(PANEL<float>, n - column), pairs,
                            (const uint32_t*)a + first * (room / 2), (int64_t)1, rows,
                            (const uint32_t*)b + column * (room / 2), (int64_t)0, to, c_stride, (const float*)to,
                            c_stride);
    }
}

static void outer_of_pairs(int m, int n, int k, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                           float* c, float* room) {
  const int rows = (k + 1) / 2 * 2;
  float* left = room + rows * ((n + PANEL<float> - 1) / PANEL<float> * PANEL<float>);
  pack_right_pairs(b, b_stride, k, n, 0, rows, room);
  pack_left_pairs(a, a_stride, k, m, 0, rows, left);
  product_of_pairs_transposed(m, n, k, rows, left, room, c, n);
}

}  // namespace

bool graphrec::make_bf16(const Kernels<float>& like, Kernels<float>* made) {
  *made = like;
  made->pack = pack_pairs;
  made->product = product_of_pairs;
  made->pack_right = pack_right_pairs;
  made->pack_left = pack_left_pairs;
  made->product_transposed = product_of_pairs_transposed;
  made->outer = outer_of_pairs;
  return true;
}
#else

bool graphrec::make_bf16(const Kernels<float>&, Kernels<float>*) { return false; }
#endif
