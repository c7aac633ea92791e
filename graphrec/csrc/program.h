// What the executor is given: a structure, memory, and programs over rows. Plain data, filled in by Python (ctypes).
//
// Rows. A run updates rows first[s] to last[s] of each stretch s with the program of that stretch. A stretch is the
// nodes of one level (of one part of a forest) that share a program; rows of a part are numbered level by level, so a
// stretch's rows are consecutive, and so are their in-edges (sorted by target) and their out-edges (sorted by source).
// A program is run on tiles of at most TILE rows. Its instructions go over one of three kinds of rows:
//   NODES      the rows of the tile,
//   IN_EDGES   the edges that enter them: in_first[row] to in_first[row + 1],
//   OUT_EDGES  the edges that leave them: out_first[row] to out_first[row + 1].
#pragma once
#include <stdint.h>

enum RowKind { NODES = 0, IN_EDGES = 1, OUT_EDGES = 2 };

// Where a buffer lies. A row of a GLOBAL buffer is base + row * stride, row being the number of the node or of the
// in-edge (of an operand that is read by an index, what the index says). Buffers of a tile are scratch memory of the
// thread; they hold the rows of the tile alone, and are addressed by the same numbers; base, stride and round are not
// used. A SUM buffer has one row, which accumulations add to (not ACCUMULATE_MAX), all rounds together; each part of
// the forest has its own, and they are added up in order at the end.
enum Place { GLOBAL = 0, TILE_NODES = 1, TILE_IN_EDGES = 2, SUM = 3 };

struct Buffer {
  void* base;     // GLOBAL: the first row; SUM: where the total goes (it is overwritten)
  int64_t stride; // in numbers, from row to row (0: all rows are one, as for parameters)
  int64_t round;  // in numbers, from round to round; 0 in async mode and for what all rounds share
  int32_t place;
  int32_t width;  // columns (places other than GLOBAL: as many are allocated)
  const int32_t* order;  // GLOBAL: where the row of each node lies, in the caller's order; null: rows lie in ours.
                         // Such a buffer is addressed by rows of nodes, or by an index that says where rows lie.
};

// The right-hand side of products, B[k, n] = w[k * row + n * column]; packed once per call, before the sweep.
struct Weight {
  const void* w;
  int64_t row, column;
  int32_t k, n;
};

// One operand of an elementwise operation over `width` columns.
//   buffer >= 0: columns column, column + 1, … of the buffer's row. The row is the instruction's own row (index 0), or
//                indices[index][own row]: an index is an array over all rows of the instruction's kind.
//   buffer < 0:  register -1 - buffer, which holds a strip of rows for the time of one chain. NO_OPERAND: none.
// split: 0, or, with an index, how many rows of `indices` one row of the buffer is: its row r is row r / split, shifted
// by (r % split) * (columns that the operation reads or writes there). (So values are put into slots, and read from
// them.)
struct Operand {
  int32_t buffer, column, index, split;
};
enum { NO_OPERAND = INT32_MIN };

// d = op(a, b, c), column by column unless said otherwise. `imm` is a number, `k` a count.
enum Op {
  // copies
  COPY, SET,                      // d = a;  d = imm
  REPEAT_EACH, REPEAT_ALL,        // d[j] = a[j / k];  d[j] = a[j % (width / k)]   (a has width / k columns)
  SUM_EACH, SUM_ALL,              // d[j] = sum_i a[j * k + i];  d[j] = sum_i a[i * (width / k) + j] (d has width / k)
  EVERY,                          // d[j] = a[j * k]: a column in k (d has width / k); k divides width in all of these
  // arithmetic
  ADD, SUB, MUL, DIV, FMA, FNMA,  // FMA: a * b + c;  FNMA: c - a * b
  NEG, ADD_IMM, MUL_IMM, RSUB_IMM, RECIPROCAL, SQUARE, SQRT, RSQRT, ABS, SIGN,   // RSUB_IMM: imm - a
  MAXIMUM, MINIMUM, MAX_IMM, MIN_IMM,   // NaN travels, as in torch.maximum and torch.clamp;  sign of NaN is 0
  // functions; SOFTPLUS is a above 20, as torch's
  EXP, LOG, SIGMOID, TANH, SIN, COS, ERF, SOFTPLUS, EXPM1, LOG1P,
  // comparisons give 1 or 0;  SELECT: a != 0 ? b : c (a true choice: NaN in the other does not matter)
  GREATER, GREATER_EQUAL, EQUAL, GREATER_IMM, LESS_IMM, EQUAL_IMM, SELECT,
  // derivatives: of the sigmoid and of tanh by their results;  0 where b <= 0, else a (as in torch where b is NaN)
  SIGMOID_GRAD, TANH_GRAD, RELU_GRAD,   // a * b * (1 - b);  a * (1 - b * b)
  // what is added to d, row by row in order: d += a;  d += a * b;  d = max(d, a) (NaN travels)
  // d[j] += a[j / k] * b[j]   (a has width / k columns)
  ACCUMULATE, ACCUMULATE_PRODUCT, ACCUMULATE_MAX, ACCUMULATE_SCALED,
  NUM_OPS
};

struct MicroOp {
  int32_t op, k;
  double imm;
  struct Operand d, a, b, c;
};

enum InstructionKind { PRODUCT = 0, CHAIN = 1, OUTER = 2 };

// PRODUCT: C = A B + I over all rows of the kind. A: k columns of a buffer; C, I: n columns. No indices.
//          I: another buffer, C's own place (it is added to), a row of parameters (stride 0), or none (buffer -1).
//          Rows are NODES or IN_EDGES; C's columns are none of A's.
// CHAIN:   micro-operations first to last, strip by strip: all of them on a few rows, then on the next few rows. An
//          operation that reads by an index what the same chain has written must not be in it. Rows of an operand
//          may be another's (in place), but must not overlap it otherwise.
//          A tile's buffer is addressed by rows of the same kind, or by an index, and then by rows of the same node.
// OUTER:   C += A' I, the sum over all rows of the kind of the outer products of A's columns and the `width` columns of
//          I: the gradient of a small weight, added up while the rows are in the cache. C: a SUM buffer, which holds the
//          matrix row by row, one row for each column of A. No indices.
struct Instruction {
  int32_t kind, rows, width, first, last;
  int32_t a, a_column, weight, c, c_column, i, i_column;
};

struct Program {
  const struct Instruction* instructions;
  const struct MicroOp* operations;
  int64_t count;
};

struct Structure {
  int64_t rows, in_edges, out_edges;
  int64_t rounds;              // 1 in async mode
  int64_t parts, stretches;
  const int64_t* part;         // [parts + 1]: the stretches of each part, in forward order
  const int32_t* stage;        // [parts], never falling: parts of one stage do not depend on each other
  const int64_t* first;        // [stretches]
  const int64_t* last;         // [stretches]
  const int32_t* level;        // [stretches]: stretches of a part with equal levels do not depend on each other
  const int32_t* program;      // [stretches]: which of the programs; -1: none
  const int64_t* in_first;     // [rows + 1]
  const int64_t* out_first;    // [rows + 1]
  const int32_t* const* indices;  // [num_indices]; number 0 is not used
  int64_t num_indices;
};

// C += sum over rows A' B: the gradient of a weight. A has m columns, B has n; C[i, j] = c[i * c_stride + j].
struct WeightGradient {
  int32_t rows;                // NODES or IN_EDGES
  int32_t program;             // of the stretches with this program alone; -1: of all
  int32_t a, a_column, m, b, b_column, n;
  void* c;
  int64_t c_stride;
};

// What numbers are: float, double, or float with products whose operands are rounded to bfloat16, where
// `graphrec_has_bf16` (elsewhere they are not rounded).
enum Numbers { FLOATS = 0, DOUBLES = 1, FLOATS_BY_BF16 = 2 };

// What the functions of interface.cpp return.
enum Status { STATUS_OK = 0, STATUS_OUT_OF_MEMORY = 1, STATUS_BAD_PROGRAM = 2, STATUS_NO_THREADS = 3 };
