#include "tile.h"

#include <algorithm>
#include <cstring>

namespace graphrec {

template <class T> bool Scratch<T>::reserve(const Context<T>& context) {
  steps.resize(context.num_steps);
  edge_room = context.edge_numbers ? (int64_t)(edges.bytes() / sizeof(T)) / context.edge_numbers : 0;
  return nodes.reserve<T>(context.node_numbers * TILE) && ordered.reserve<T>(context.ordered_numbers * TILE) &&
         outer.reserve<T>(context.outer_numbers * TILE) &&
         registers.reserve<T>(context.registers * context.longest_register);
}

namespace {

template <class T> struct Preparation {
  const Context<T>& context;
  Scratch<T>& scratch;
  typedef typename Scratch<T>::Step Step;

  // `columns`: what the operation reads or writes of each row; `row`: the length of a register's rows.
  void place(const Operand& operand, [[maybe_unused]] int kind, int64_t columns, int64_t row, Rows<T>& rows,
             typename Step::Place& found) const {
    rows = {};
    found = {};
    if (operand.buffer == NO_OPERAND) return;
    if (operand.buffer < 0) {
      found.base = scratch.registers.template as<T>() + (int64_t)(-1 - operand.buffer) * context.longest_register;
      rows.stride = row;
      return;
    }
    const Buffer& buffer = context.buffers[operand.buffer];
    const auto& lay = context.lays[operand.buffer];
    const bool of_tile = buffer.place == TILE_NODES || buffer.place == TILE_IN_EDGES;
    if (buffer.place == TILE_NODES) found.base = scratch.nodes.template as<T>() + lay.offset * TILE;
    else if (buffer.place == TILE_IN_EDGES) found.base = scratch.edges.template as<T>() + lay.offset * scratch.edge_room;
    else if (buffer.place == SUM) found.base = scratch.sums + lay.offset;
    else found.base = static_cast<T*>(buffer.base);
    found.base += operand.column;
    if (buffer.place == GLOBAL) found.of_round = buffer.round;
    rows.stride = of_tile ? lay.stride : buffer.place == SUM ? 0 : buffer.stride;
    if (buffer.order && operand.index == 0) {
      found.index = buffer.order;
    } else if (operand.index == 0) {
      found.move = rows.stride;
      found.of_row = of_tile ? 0 : rows.stride;
    } else {
      found.index = context.structure.indices[operand.index];
      found.origin = of_tile;
      found.origin_kind = buffer.place == TILE_IN_EDGES ? IN_EDGES : NODES;
      if (operand.split > 0 && rows.stride == operand.split * columns) {  // pieces follow each other without gaps
        found.origin *= operand.split;
        rows.stride = columns;
      } else if (operand.split > 0) {
        rows.split = operand.split;
        rows.shift = columns;
      }
    }
  }

  void resolve(const MicroOp& op, const Instruction& chain, Step& step) const {
    const int64_t width = chain.width, row = context.padded(width), narrow = op.k > 0 ? width / op.k : width;
    const bool repeats = op.op == REPEAT_EACH || op.op == REPEAT_ALL || op.op == ACCUMULATE_SCALED;
    const bool reduces = op.op == SUM_EACH || op.op == SUM_ALL || op.op == EVERY;
    Operation<T>& o = step.operation;
    o.op = op.op;
    o.k = op.k;
    o.imm = static_cast<T>(op.imm);
    place(op.d, chain.rows, reduces ? narrow : width, row, o.d, step.places[0]);
    place(op.a, chain.rows, repeats ? narrow : width, row, o.a, step.places[1]);
    place(op.b, chain.rows, width, row, o.b, step.places[2]);
    place(op.c, chain.rows, width, row, o.c, step.places[3]);
    const bool registers = op.d.buffer < 0 && op.a.buffer < 0 && op.b.buffer < 0 && op.c.buffer < 0;
    o.width = registers && !repeats && !reduces ? row : width;  // what fills up the rows may be computed along
  }
};

}  // namespace

template <class T> void Scratch<T>::prepare(const Context<T>& context) {
  const Preparation<T> preparation = {context, *this};
  for (int64_t p = 0; p < context.num_programs; p++) {
    const Program& program = context.programs[p];
    for (int64_t q = 0; q < program.count; q++) {
      const Instruction& chain = program.instructions[q];
      if (chain.kind != CHAIN) continue;
      for (int32_t z = chain.first; z < chain.last; z++)
        preparation.resolve(program.operations[z], chain, steps[context.first_step[p][q] + z - chain.first]);
    }
  }
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

  // Columns of all rows of a kind. Rows that lie in the caller's order are brought together, at `free`.
  T* bring(int32_t number, int kind, int32_t column, int64_t columns, bool reads, T*& free, int64_t* stride) const {
    const Place p = place(number);
    if (!context.buffers[number].order) {
      *stride = p.stride;
      return p.base + (ranges.first[kind] - p.origin) * p.stride + column;
    }
    T* here = free;
    *stride = context.padded(columns);
    free += ranges.count[kind] * *stride;
    if (reads) move(context.buffers[number], column, columns, here, *stride, false);
    return here;
  }

  void product(const Instruction& step) const {
    T* free = scratch.ordered.template as<T>();
    const auto& weight = context.weights[step.weight];
    Product<T> p = {ranges.count[step.rows], weight.k, weight.n, nullptr, 0, weight.numbers, nullptr, 0, nullptr, 0};
    p.a = bring(step.a, step.rows, step.a_column, weight.k, true, free, &p.a_stride);
    p.c = bring(step.c, step.rows, step.c_column, weight.n, false, free, &p.c_stride);
    if (step.i >= 0) p.i = bring(step.i, step.rows, step.i_column, weight.n, true, free, &p.i_stride);
    context.kernels.product(p);
    if (context.buffers[step.c].order) move(context.buffers[step.c], step.c_column, weight.n, p.c, p.c_stride, true);
  }

  void outer(const Instruction& step) const {
    const int64_t count = ranges.count[step.rows], n = step.width, m = context.buffers[step.c].width / n;
    T *free = scratch.ordered.template as<T>(), *room = scratch.outer.template as<T>();
    int64_t a_stride, b_stride;
    const T* a = bring(step.a, step.rows, step.a_column, m, true, free, &a_stride);
    const T* b = bring(step.i, step.rows, step.i_column, n, true, free, &b_stride);
    for (int64_t done = 0; done < count; done += TILE)
      context.kernels.outer((int)m, (int)n, (int)std::min(TILE, count - done), a + done * a_stride, a_stride,
                            b + done * b_stride, b_stride, place(step.c).base, room);
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

  int64_t rows_of(int kind) const {
    const Structure& s = context.structure;
    return kind == NODES ? s.rows : kind == IN_EDGES ? s.in_first[s.rows] : s.out_first[s.rows];
  }

  // The steps of a chain, for this tile; strip by strip.
  void chain(const Instruction& chain, typename Scratch<T>::Step* steps) const {
    const int64_t first = ranges.first[chain.rows], count = ranges.count[chain.rows], length = chain.last - chain.first;
    for (int64_t q = 0; q < length; q++) {
      Operation<T>& o = steps[q].operation;
      Rows<T>* operands[4] = {&o.d, &o.a, &o.b, &o.c};
      for (int z = 0; z < 4; z++) {
        const auto& place = steps[q].places[z];
        operands[z]->base = place.base + first * place.of_row + round * place.of_round;
        operands[z]->index = place.index ? place.index + first : nullptr;
        operands[z]->origin = place.origin * ranges.first[place.origin_kind];
      }
    }
    // (A single operation hands nothing on in registers, and looks the farther ahead. Narrow rows go by strips anyway.)
    const bool is_single = length == 1 && chain.width >= context.kernels.lanes;
    const int64_t row = std::max<int64_t>(context.padded(chain.width), 1);
    const int64_t strip = is_single ? count : std::max<int64_t>(1, STRIP / row), total = rows_of(chain.rows) - first;
    for (int64_t done = 0; done < count; done += strip) {
      const int64_t now = std::min(strip, count - done);
      for (int64_t q = 0; q < length; q++) {
        Operation<T>& o = steps[q].operation;
        o.rows = now;
        o.coming = total - done - now;
        context.kernels.operate(o);
        if (done + now == count) continue;
        Rows<T>* operands[4] = {&o.d, &o.a, &o.b, &o.c};
        for (int z = 0; z < 4; z++) {
          if (operands[z]->index) operands[z]->index += now;
          else operands[z]->base += now * steps[q].places[z].move;
        }
      }
    }
  }
};

}  // namespace

template <class T>
bool run_tile(const Context<T>& context, Scratch<T>& scratch, int64_t number, int64_t first, int64_t last,
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
    scratch.prepare(context);
  }
  const Tile<T> tile = {context, scratch, ranges, round};
  const Program& program = context.programs[number];
  for (int64_t q = 0; q < program.count; q++) {
    const Instruction& instruction = program.instructions[q];
    if (ranges.count[instruction.rows] == 0) continue;
    if (instruction.kind == PRODUCT) tile.product(instruction);
    else if (instruction.kind == OUTER) tile.outer(instruction);
    else tile.chain(instruction, scratch.steps.data() + context.first_step[number][q]);
  }
  return true;
}

template struct Scratch<float>;
template struct Scratch<double>;
template bool run_tile(const Context<float>&, Scratch<float>&, int64_t, int64_t, int64_t, int64_t);
template bool run_tile(const Context<double>&, Scratch<double>&, int64_t, int64_t, int64_t, int64_t);

}  // namespace graphrec
