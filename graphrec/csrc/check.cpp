#include "check.h"

#include <cstdarg>
#include <cstdio>
#include <vector>

namespace graphrec {
namespace {

bool repeats(int op) { return op == REPEAT_EACH || op == REPEAT_ALL || op == ACCUMULATE_SCALED; }
bool reduces(int op) { return op == SUM_EACH || op == SUM_ALL || op == EVERY; }
bool accumulates(int op) { return op >= ACCUMULATE && op <= ACCUMULATE_SCALED; }

int operands_read(int op) {  // a, then b, then c
  switch (op) {
    case SET: return 0;
    case ADD: case SUB: case MUL: case DIV: case MAXIMUM: case MINIMUM: case GREATER: case GREATER_EQUAL: case EQUAL:
    case SIGMOID_GRAD: case TANH_GRAD: case RELU_GRAD: case ACCUMULATE_PRODUCT: case ACCUMULATE_SCALED: return 2;
    case FMA: case FNMA: case SELECT: return 3;
    default: return 1;
  }
}

class Checker {
 public:
  Checker(const Everything& all, char* message, int64_t room)
      : e_(all), s_(all.structure), message_(message), room_(room) {}

  bool structure() {
    if (s_.rows < 0 || s_.in_edges < 0 || s_.out_edges < 0 || s_.rounds < 1)
      return fails("a negative count, or no round");
    if (s_.parts < 1 || s_.stretches < 0 || s_.part[0] != 0 || s_.part[s_.parts] != s_.stretches)
      return fails("parts do not hold all stretches");
    for (int64_t p = 0; p < s_.parts; p++)
      if (s_.part[p] > s_.part[p + 1]) return fails("part %lld ends before it begins", (long long)p);
    if (s_.stage[0] != 0) return fails("the first stage is number %d", s_.stage[0]);
    for (int64_t p = 1; p < s_.parts; p++)
      if (s_.stage[p] != s_.stage[p - 1] && s_.stage[p] != s_.stage[p - 1] + 1)
        return fails("part %lld is of stage %d", (long long)p, s_.stage[p]);
    if (s_.stage[s_.parts - 1] > 0 && s_.rounds > 1) return fails("stages in rounds");
    for (int64_t i = 0; i < s_.stretches; i++) {
      if (s_.first[i] < 0 || s_.first[i] > s_.last[i] || s_.last[i] > s_.rows)
        return fails("stretch %lld has rows that are not there", (long long)i);
      if (s_.program[i] < -1 || s_.program[i] >= e_.num_programs)
        return fails("stretch %lld has program %d", (long long)i, s_.program[i]);
    }
    return offsets("in_first", s_.in_first, s_.in_edges) && offsets("out_first", s_.out_first, s_.out_edges);
  }

  bool memory() {
    for (int64_t b = 0; b < e_.num_buffers; b++) {
      const Buffer& buffer = e_.buffers[b];
      if (buffer.place < GLOBAL || buffer.place > SUM || buffer.width < 0)
        return fails("buffer %lld: place %d, width %d", (long long)b, buffer.place, buffer.width);
      const bool needs = buffer.width > 0 && (buffer.place == SUM || (buffer.place == GLOBAL && e_.rows[b] > 0));
      if (needs && !buffer.base) return fails("buffer %lld has no memory", (long long)b);
      if (buffer.place == GLOBAL && buffer.stride != 0 && buffer.stride < buffer.width)
        return fails("buffer %lld has rows that overlap", (long long)b);
      if (!buffer.order) continue;
      if (buffer.place != GLOBAL) return fails("buffer %lld has an order, but is not GLOBAL", (long long)b);
      std::vector<bool> seen(e_.rows[b]);
      for (int64_t r = 0; r < s_.rows; r++) {
        const int32_t at = buffer.order[r];
        if (at < 0 || (at >= e_.rows[b] && buffer.stride != 0))
          return fails("buffer %lld has no row %d for row %lld", (long long)b, at, (long long)r);
        if (buffer.stride == 0) continue;
        if (seen[at]) return fails("buffer %lld has row %d twice in its order", (long long)b, at);
        seen[at] = true;
      }
    }
    for (int64_t w = 0; w < e_.num_weights; w++) {
      const Weight& weight = e_.weights[w];
      if (weight.k < 0 || weight.n < 0 || (!weight.w && weight.k > 0 && weight.n > 0))
        return fails("weight %lld: k %d, n %d", (long long)w, weight.k, weight.n);
    }
    return true;
  }

  bool programs() {
    for (int64_t p = 0; p < e_.num_programs; p++)
      for (int64_t q = 0; q < e_.programs[p].count; q++) {
        const Instruction& i = e_.programs[p].instructions[q];
        std::snprintf(where_, sizeof where_, "program %lld, instruction %lld: ", (long long)p, (long long)q);
        if (i.rows < NODES || i.rows > OUT_EDGES) return fails("rows %d", i.rows);
        if (i.kind < PRODUCT || i.kind > OUTER) return fails("kind %d", i.kind);
        const bool good = i.kind == PRODUCT ? product((int32_t)p, i)
                          : i.kind == OUTER ? outer((int32_t)p, i)
                                            : chain((int32_t)p, i);
        if (!good) return false;
      }
    return true;
  }

  bool gradients() {
    for (int64_t g = 0; g < e_.num_gradients; g++) {
      const WeightGradient& w = e_.gradients[g];
      std::snprintf(where_, sizeof where_, "gradient %lld: ", (long long)g);
      if (w.rows != NODES && w.rows != IN_EDGES) return fails("rows %d", w.rows);
      if (w.program < -1 || w.program >= e_.num_programs) return fails("program %d", w.program);
      if (w.m < 0 || w.n < 0 || (!w.c && w.m > 0 && w.n > 0) || (w.m > 1 && w.c_stride < w.n))
        return fails("m %d, n %d, c_stride %lld", w.m, w.n, (long long)w.c_stride);
      const Operand a = {w.a, w.a_column, 0, 0}, b = {w.b, w.b_column, 0, 0};
      if (!is_global(w.a) || !is_global(w.b)) return fails("expected GLOBAL buffers, got %d and %d", w.a, w.b);
      if (!operand(w.program, w.rows, a, w.m) || !operand(w.program, w.rows, b, w.n)) return false;
    }
    return true;
  }

 private:
  bool fails(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    if (room_ <= 0) return false;
    const int n = std::snprintf(message_, room_, "%s", where_);
    va_list arguments;
    va_start(arguments, format);
    if (n < room_) std::vsnprintf(message_ + n, room_ - n, format, arguments);
    va_end(arguments);
    return false;
  }

  bool offsets(const char* name, const int64_t* first, int64_t total) {
    if (first[0] < 0 || first[s_.rows] > total) return fails("%s goes beyond the edges", name);
    for (int64_t v = 0; v < s_.rows; v++)
      if (first[v] > first[v + 1]) return fails("%s falls at row %lld", name, (long long)v);
    return true;
  }

  bool is_global(int32_t b) const { return b >= 0 && b < e_.num_buffers && e_.buffers[b].place == GLOBAL; }

  bool product(int32_t p, const Instruction& i) {
    if (i.rows == OUT_EDGES) return fails("a product over out-edges");
    if (i.weight < 0 || i.weight >= e_.num_weights) return fails("weight %d", i.weight);
    const Weight& w = e_.weights[i.weight];
    const Operand a = {i.a, i.a_column, 0, 0}, c = {i.c, i.c_column, 0, 0}, add = {i.i, i.i_column, 0, 0};
    if (i.a < 0 || i.c < 0) return fails("a product of a register");
    for (const int32_t b : {i.a, i.c, i.i})
      if (b >= 0 && b < e_.num_buffers && e_.buffers[b].place == SUM) return fails("a product of the sum %d", b);
    if (!operand(p, i.rows, a, w.k) || !operand(p, i.rows, c, w.n) || !written(c)) return false;
    if (i.i >= 0 && !operand(p, i.rows, add, w.n)) return false;
    if (i.a == i.c && overlap(i.a_column, w.k, i.c_column, w.n)) return fails("C and A overlap");
    if (i.i == i.c && i.i_column != i.c_column && overlap(i.i_column, w.n, i.c_column, w.n))
      return fails("C and I overlap and differ");
    return true;
  }

  bool outer(int32_t p, const Instruction& i) {
    if (i.rows == OUT_EDGES) return fails("outer products over out-edges");
    if (i.c < 0 || i.c >= e_.num_buffers || e_.buffers[i.c].place != SUM) return fails("buffer %d is no sum", i.c);
    const int32_t numbers = e_.buffers[i.c].width;
    if (i.width < 1 || numbers % i.width) return fails("width %d does not divide the sum's %d", i.width, numbers);
    const Operand a = {i.a, i.a_column, 0, 0}, b = {i.i, i.i_column, 0, 0};
    for (const int32_t side : {i.a, i.i})
      if (side >= 0 && side < e_.num_buffers && e_.buffers[side].place == SUM) return fails("sum %d is read", side);
    return operand(p, i.rows, a, numbers / i.width) && operand(p, i.rows, b, i.width);
  }

  bool chain(int32_t p, const Instruction& i) {
    if (i.width < 0 || i.first < 0 || i.last < i.first)
      return fails("width %d, operations %d to %d", i.width, i.first, i.last);
    const MicroOp* operations = e_.programs[p].operations;
    std::vector<bool> has_value;  // registers
    for (int32_t q = i.first; q < i.last; q++) {
      const MicroOp& op = operations[q];
      if (op.op < 0 || op.op >= NUM_OPS) return fails("operation %d: op %d", q, op.op);
      const bool narrows = repeats(op.op) || reduces(op.op);
      if (narrows && (op.k < 1 || i.width % op.k))
        return fails("operation %d: k %d does not divide width %d", q, op.k, i.width);
      const int64_t narrow = narrows ? i.width / op.k : i.width, d_columns = reduces(op.op) ? narrow : i.width;
      const Operand* read[3] = {&op.a, &op.b, &op.c};
      for (int z = 0; z < operands_read(op.op); z++) {
        const Operand& o = *read[z];
        if (o.buffer == NO_OPERAND) return fails("operation %d: operand %c is missing", q, "abc"[z]);
        if (o.buffer < 0) {
          const size_t r = -1 - o.buffer;
          if (r >= has_value.size() || !has_value[r])
            return fails("operation %d reads register %zu before it is written", q, r);
        } else if (e_.num_buffers > o.buffer && e_.buffers[o.buffer].place == SUM) {
          return fails("operation %d reads the sum %d", q, o.buffer);
        } else if (!operand(p, i.rows, o, z == 0 && repeats(op.op) ? narrow : i.width)) {
          return false;
        }
      }
      if (op.d.buffer == NO_OPERAND) return fails("operation %d: operand d is missing", q);
      if (op.d.buffer < 0) {
        const size_t r = -1 - op.d.buffer;
        if (has_value.size() <= r) has_value.resize(r + 1);
        if (accumulates(op.op) && !has_value[r])
          return fails("operation %d adds to register %zu before it is written", q, r);
        has_value[r] = true;
      } else {
        const bool sum = op.d.buffer < e_.num_buffers && e_.buffers[op.d.buffer].place == SUM;
        if (sum && (!accumulates(op.op) || op.op == ACCUMULATE_MAX))
          return fails("operation %d does not add to the sum %d", q, op.d.buffer);
        if (!accumulates(op.op) && !written(op.d)) return false;
        if (!operand(p, i.rows, op.d, d_columns)) return false;
      }
    }
    return indexed_rows_are_not_written(p, i);
  }

  bool written(const Operand& o) {
    if (is_global(o.buffer) && e_.buffers[o.buffer].stride == 0 && s_.rows > 1)
      return fails("all rows are written to the one row of buffer %d", o.buffer);
    return true;
  }

  static bool overlap(int64_t a, int64_t a_columns, int64_t b, int64_t b_columns) {
    return a < b + b_columns && b < a + a_columns;
  }

  const int64_t* first_of(int kind) const { return kind == IN_EDGES ? s_.in_first : s_.out_first; }

  // f(row of the kind, its node) for the rows of all stretches with a program (-1: all); false once f is.
  template <class F> bool each_row(int32_t program, int kind, F&& f) const {
    for (int64_t i = 0; i < s_.stretches; i++) {
      if (s_.program[i] < 0 || (program >= 0 && s_.program[i] != program)) continue;
      for (int64_t v = s_.first[i]; v < s_.last[i]; v++) {
        if (kind == NODES) {
          if (!f(v, v)) return false;
          continue;
        }
        for (int64_t e = first_of(kind)[v]; e < first_of(kind)[v + 1]; e++)
          if (!f(e, v)) return false;
      }
    }
    return true;
  }

  // Whether a buffer's columns and rows are there: for a tile's buffer, those of the row's own node.
  bool operand(int32_t program, int kind, const Operand& o, int64_t columns) {
    if (o.buffer < 0 || o.buffer >= e_.num_buffers) return fails("buffer %d", o.buffer);
    const Buffer& buffer = e_.buffers[o.buffer];
    const bool split = o.index > 0 && o.split > 0;
    if (o.column < 0 || o.split < 0 || o.column + columns * (split ? o.split : 1) > buffer.width)
      return fails("buffer %d: columns %d + %lld of %d", o.buffer, o.column, (long long)columns, buffer.width);
    const int64_t own_rows = kind == NODES ? s_.rows : kind == IN_EDGES ? s_.in_edges : s_.out_edges;
    if (o.index < 0 || (o.index > 0 && (o.index >= s_.num_indices || (!s_.indices[o.index] && own_rows > 0))))
      return fails("index %d", o.index);
    if (buffer.place == SUM) return o.index == 0 || fails("buffer %d is a sum, read by an index", o.buffer);
    if (buffer.order && !o.index) return kind == NODES || fails("buffer %d has an order of nodes", o.buffer);
    return each_row(program, kind, [&](int64_t row, int64_t node) {
      int64_t r = o.index ? s_.indices[o.index][row] : row;
      if (split) r = r < 0 ? r : r / o.split;
      const int64_t rows = e_.rows[o.buffer], *in = s_.in_first;
      bool there = false;
      if (buffer.place == GLOBAL) there = r >= 0 && (r < rows || (buffer.stride == 0 && rows > 0));
      if (buffer.place == TILE_NODES) there = (o.index || kind == NODES) && r == node;
      if (buffer.place == TILE_IN_EDGES) there = (o.index || kind == IN_EDGES) && r >= in[node] && r < in[node + 1];
      return there || fails("buffer %d has no row %lld for row %lld of node %lld", o.buffer, (long long)r,
                            (long long)row, (long long)node);
    });
  }

  // Nothing that a chain reads by an index is written by it, whichever comes first: strips are run one after the other.
  bool indexed_rows_are_not_written(int32_t p, const Instruction& i) {
    const MicroOp* operations = e_.programs[p].operations;
    for (int32_t q = i.first; q < i.last; q++) {
      const Operand* read[3] = {&operations[q].a, &operations[q].b, &operations[q].c};
      for (int z = 0; z < operands_read(operations[q].op); z++)
        for (int32_t w = i.first; w < i.last; w++)
          if (read[z]->buffer >= 0 && read[z]->index && operations[w].d.buffer == read[z]->buffer &&
              meet(p, i, *read[z], operations[w].d))
            return fails("operation %d reads by an index what operation %d writes", q, w);
    }
    return true;
  }
  bool meet(int32_t p, const Instruction& i, const Operand& read, const Operand& written) const {
    const int64_t columns = i.width * (read.split || written.split ? 1 << 20 : 1);  // pieces of rows: all columns
    if (!overlap(read.column, columns, written.column, columns)) return false;
    for (int64_t s = 0; s < s_.stretches; s++) {  // rows of different stretches are not run by one chain
      if (s_.program[s] != p) continue;
      const int64_t low = i.rows == NODES ? s_.first[s] : first_of(i.rows)[s_.first[s]];
      const int64_t high = i.rows == NODES ? s_.last[s] : first_of(i.rows)[s_.last[s]];
      std::vector<bool> is_written;
      const auto row_of = [&](const Operand& o, int64_t r) {
        const int32_t* order = e_.buffers[o.buffer].order;
        int64_t row = o.index ? s_.indices[o.index][r] : order ? order[r] : r;
        return row < 0 ? 0 : o.index && o.split ? row / o.split : row;
      };
      for (int64_t r = low; r < high; r++) {
        const size_t row = row_of(written, r);
        if (is_written.size() <= row) is_written.resize(row + 1);
        is_written[row] = true;
      }
      for (int64_t r = low; r < high; r++) {
        const size_t row = row_of(read, r);
        if (row < is_written.size() && is_written[row]) return true;
      }
    }
    return false;
  }

  const Everything& e_;
  const Structure& s_;
  char* message_;
  int64_t room_;
  char where_[80] = "";
};

}  // namespace

Status check(const Everything& everything, char* message, int64_t room) {
  Checker checker(everything, message, room);
  const bool good = checker.structure() && checker.memory() && checker.programs() && checker.gradients();
  return good ? STATUS_OK : STATUS_BAD_PROGRAM;
}

}  // namespace graphrec
