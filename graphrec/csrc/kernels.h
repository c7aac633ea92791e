// What depends on the processor: packing, products, and elementwise operations over rows. Compiled once for each
// instruction set, and chosen when the library is loaded. Plain structs: no code may be shared between the versions.
#pragma once
#include <stdint.h>

#include "edges.h"
#include "program.h"
#include "recurrence.h"

namespace graphrec {

constexpr int STRIP = 1024;  // numbers of a register: a few registers stay in the first cache

// Where the rows of an operand are: row i is base + (r - origin) * stride, r being i or index[i]. Where split > 0, r
// counts the pieces of rows: row r / split, and piece r % split of it, which is `shift` numbers wide.
template <class T> struct Rows {
  T* base;
  const int32_t* index;
  int64_t origin, stride, split, shift;
};

// One operation on `rows` rows of `width` columns; indices go on for `coming` rows.
template <class T> struct Operation {
  int32_t op, k;
  int64_t rows, width, coming;
  T imm;
  Rows<T> d, a, b, c;
};

// C = A B + I: A has k columns, B is packed and has n. `i` is null, or a matrix (i_stride 0: one row for all).
template <class T> struct Product {
  int64_t rows;
  int k, n;
  const T* a;
  int64_t a_stride;
  const T* b;
  T* c;
  int64_t c_stride;
  const T* i;
  int64_t i_stride;
};

// A packed matrix is panels of `panel` columns, the last filled up with zeros; a panel of k rows is k * panel numbers.
template <class T> struct Kernels {
  int32_t lanes, panel, height;  // numbers in a vector; columns of a panel; rows of C that a product does at once
  // B[k, n] = w[k * row + n * column]: panels first to last - 1.
  void (*pack)(const T* w, int64_t row, int64_t column, int k, int n, int first, int last, T* to);
  void (*product)(const Product<T>&);
  // Rows of a matrix into panels that have room for `room` rows, as rows `at` and following. pack_left: into blocks of
  // about `height` columns, block q of m columns beginning at column m * q / blocks.
  void (*pack_right)(const T* from, int64_t stride, int rows, int n, int at, int room, T* to);
  void (*pack_left)(const T* from, int64_t stride, int rows, int m, int at, int room, T* to);
  // C += A' B of k rows so packed: C has m rows, n columns.
  void (*product_transposed)(int m, int n, int k, int room, const T* a, const T* b, T* c, int64_t c_stride);
  // C += A' B of k rows as they lie, C's rows being without gaps; room for k rows of each side, panels being whole.
  void (*outer)(int m, int n, int k, const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* c, T* room);
  void (*operate)(const Operation<T>&);
  // For the nodes first to last - 1; see edges.h.
  void (*edge_sums)(const EdgeSums&, int64_t first, int64_t last);
  void (*inbox_softmax)(const InboxSoftmax&, int64_t first, int64_t last);
  // For the steps first to last - 1 and columns `column` to end - 1 of each chunk; see recurrence.h.
  void (*recurrence)(const Recurrence&, int64_t first, int64_t last, int64_t column, int64_t end);
};

struct KernelTables {
  const Kernels<float>* of_float;
  const Kernels<double>* of_double;
};
// Makes of the AVX-512 kernels those whose products round their operands to bfloat16; false where none are compiled.
bool make_bf16(const Kernels<float>& like, Kernels<float>* made);
KernelTables kernels_avx512();  // null where this processor's family has no such instructions
KernelTables kernels_avx2();
KernelTables kernels_base();

template <class T> const Kernels<T>& kernels();  // the table in use
const Kernels<float>* kernels_bf16();            // the same with products of bfloat16; null where there are none
const char* isa();                               // "avx512", "avx2" or "base"

}  // namespace graphrec
