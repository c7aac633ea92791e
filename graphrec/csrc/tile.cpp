#include "tile.h"

#include <algorithm>
#include <cstring>

namespace graphrec {

template <class T> bool Scratch<T>::reserve(const Context<T>& context) {
  if (steps.size() < (size_t)context.longest_chain) steps.resize(context.longest_chain);
  edge_room = context.edge_numbers ? (int64_t)(edges.bytes() / sizeof(T)) / context.edge_numbers : 0;
  return nodes.reserve<T>(context.node_numbers * TILE) && ordered.reserve<T>(context.ordered_numbers * TILE) &&
         registers.reserve<T>(context.registers * context.longest_register);
}

namespace {

// The rows of a tile, of each kind.
struct Ranges {
  int64_t first[3], count[3];
};

template <class T> struct Tile {
  const Context<T>& context;
  Scratch<T>& scratch;
  const Ranges ranges;
  const int64_t round;

  // A buffer's rows, from row `origin` on.
  struct Place {
    T* base;
    int64_t stride, origin;
  };
  Place place(int32_t number) const {
    const Buffer& buffer = context.buffers[number];
    const auto& lay = context.lays[number];
    switch (buffer.place) {
      case TILE_NODES: return {scratch.nodes.template as<T>() + lay.offset * TILE, lay.stride, ranges.first[NODES]};
      case TILE_IN_EDGES:
        return {scratch.edges.template as<T>() + lay.offset * scratch.edge_room, lay.stride, ranges.first[IN_EDGES]};
      case SUM: return {scratch.sums + lay.offset, 0, 0};
      default: return {static_cast<T*>(buffer.base) + round * buffer.round, buffer.stride, 0};
    }
  }

  void product(const Instruction& step) const {
    const int64_t first = ranges.first[step.rows], count = ranges.count[step.rows];
    T* free = scratch.ordered.template as<T>();
    // Rows that lie in the caller's order are brought together.
    const auto at = [&](int32_t number, int32_t column, int64_t columns, bool reads, int64_t* stride) {
      const Place p = place(number);
      if (!context.buffers[number].order) {
        *stride = p.stride;
        return p.base + (first - p.origin) * p.stride + column;
      }
      T* here = free;
      *stride = context.padded(columns);
      free += count * *stride;
      if (reads) move(context.buffers[number], column, columns, here, *stride, false);
      return here;
    };
    const auto& weight = context.weights[step.weight];
    Product<T> p = {count, weight.k, weight.n, nullptr, 0, weight.numbers, nullptr, 0, nullptr, 0};
    p.a = at(step.a, step.a_column, weight.k, true, &p.a_stride);
    p.c = at(step.c, step.c_column, weight.n, false, &p.c_stride);
    if (step.i >= 0) p.i = at(step.i, step.i_column, weight.n, true, &p.i_stride);
    context.kernels.product(p);
    if (context.buffers[step.c].order) move(context.buffers[step.c], step.c_column, weight.n, p.c, p.c_stride, true);
  }

  // Copies columns of this tile's rows of nodes to or from where they lie in the caller's order.
  void move(const Buffer& buffer, int64_t column, int64_t columns, T* here, int64_t stride, bool back) const {
    const int32_t* order = buffer.order + ranges.first[NODES];
    T* base = static_cast<T*>(buffer.base) + round * buffer.round + column;
    for (int64_t i = 0; i < ranges.count[NODES]; i++, here += stride) {
      T* there = base + order[i] * buffer.stride;
      std::memcpy(back ? there : here, back ? here : there, columns * sizeof(T));
    }
  }

  // `columns`: what the operation reads or writes of each row; `row`: the length of a register's rows.
  Rows<T> rows(const Operand& operand, int kind, int64_t columns, int64_t row, int64_t* moves) const {
    *moves = 0;
    if (operand.buffer == NO_OPERAND) return {};
    if (operand.buffer < 0) {
      T* base = scratch.registers.template as<T>() + (int64_t)(-1 - operand.buffer) * context.longest_register;
      return {base, nullptr, 0, row, 0, 0};
    }
    const Place p = place(operand.buffer);
    const int32_t* order = context.buffers[operand.buffer].order;
    if (order && operand.index == 0) return {p.base + operand.column, order + ranges.first[kind], 0, p.stride, 0, 0};
    if (operand.index == 0) {
      *moves = p.stride;
      return {p.base + (ranges.first[kind] - p.origin) * p.stride + operand.column, nullptr, 0, p.stride, 0, 0};
    }
    const int32_t* index = context.structure.indices[operand.index] + ranges.first[kind];
    Rows<T> r = {p.base + operand.column, index, p.origin, p.stride, 0, 0};
    if (operand.split > 0 && p.stride == operand.split * columns) {  // pieces follow each other without gaps
      r.origin *= operand.split;
      r.stride = columns;
    } else if (operand.split > 0) {
      r.split = operand.split;
      r.shift = columns;
    }
    return r;
  }

  void resolve(const MicroOp& op, const Instruction& chain, int64_t row, typename Scratch<T>::Step& step) const {
    const int64_t width = chain.width, narrow = op.k > 0 ? width / op.k : width;
    const bool repeats = op.op == REPEAT_EACH || op.op == REPEAT_ALL || op.op == ACCUMULATE_SCALED;
    const bool reduces = op.op == SUM_EACH || op.op == SUM_ALL || op.op == EVERY;
    Operation<T>& o = step.operation;
    o.op = op.op;
    o.k = op.k;
    o.imm = static_cast<T>(op.imm);
    o.d = rows(op.d, chain.rows, reduces ? narrow : width, row, step.moves);
    o.a = rows(op.a, chain.rows, repeats ? narrow : width, row, step.moves + 1);
    o.b = rows(op.b, chain.rows, width, row, step.moves + 2);
    o.c = rows(op.c, chain.rows, width, row, step.moves + 3);
    const bool registers = op.d.buffer < 0 && op.a.buffer < 0 && op.b.buffer < 0 && op.c.buffer < 0;
    o.width = registers && !repeats && !reduces ? row : width;  // what fills up the rows may be computed along
  }

  void chain(const Instruction& chain, const MicroOp* operations) const {
    const int64_t row = context.padded(chain.width), count = ranges.count[chain.rows];
    const int64_t strip = std::max<int64_t>(1, STRIP / std::max<int64_t>(row, 1)), length = chain.last - chain.first;
    for (int64_t q = 0; q < length; q++) resolve(operations[chain.first + q], chain, row, scratch.steps[q]);
    for (int64_t done = 0; done < count; done += strip) {
      const int64_t now = std::min(strip, count - done);
      for (int64_t q = 0; q < length; q++) {
        auto& step = scratch.steps[q];
        Operation<T>& o = step.operation;
        o.rows = now;
        context.kernels.operate(o);
        Rows<T>* operands[4] = {&o.d, &o.a, &o.b, &o.c};
        for (int z = 0; z < 4; z++) {
          if (operands[z]->index) operands[z]->index += now;
          else operands[z]->base += now * step.moves[z];
        }
      }
    }
  }
};

}  // namespace

template <class T>
bool run_tile(const Context<T>& context, Scratch<T>& scratch, const Program& program, int64_t first, int64_t last,
              int64_t round) {
  const Structure& s = context.structure;
  const Ranges ranges = {{first, s.in_first[first], s.out_first[first]},
                         {last - first, s.in_first[last] - s.in_first[first], s.out_first[last] - s.out_first[first]}};
  if (context.edge_numbers && ranges.count[IN_EDGES] > scratch.edge_room) {
    scratch.edge_room = std::max(ranges.count[IN_EDGES], std::min(context.most_edges, s.in_edges));
    if (!scratch.edges.template reserve<T>(scratch.edge_room * context.edge_numbers)) {
      scratch.edge_room = 0;
      return false;
    }
  }
  const Tile<T> tile = {context, scratch, ranges, round};
  for (int64_t q = 0; q < program.count; q++) {
    const Instruction& instruction = program.instructions[q];
    if (ranges.count[instruction.rows] == 0) continue;
    if (instruction.kind == PRODUCT) tile.product(instruction);
    else tile.chain(instruction, program.operations);
  }
  return true;
}

template struct Scratch<float>;
template struct Scratch<double>;
template bool run_tile(const Context<float>&, Scratch<float>&, const Program&, int64_t, int64_t, int64_t);
template bool run_tile(const Context<double>&, Scratch<double>&, const Program&, int64_t, int64_t, int64_t);

}  // namespace graphrec
