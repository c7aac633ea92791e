// Random structures and programs, run by the library and by a plain interpreter, for sanitisers and for long runs:
//
//   stress [count] [seed] [small]
//
// `small`: a few nodes and columns, of which some thousand cases take a second. Each case is run in float and double, forward or in reverse, on one to three threads. GRAPHREC_ISA chooses kernels.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "check.h"
#include "executor.h"
#include "kernels.h"
#include "program.h"

namespace {

constexpr Operand NONE = {NO_OPERAND, 0, 0, 0};

bool small = false;

template <class T> struct Case {
  std::mt19937_64 random;
  int64_t uniform(int64_t low, int64_t high) { return low + (int64_t)(random() % (uint64_t)(high - low + 1)); }
  bool chance(int percent) { return uniform(1, 100) <= percent; }

  // ------------------------------------------------------------ the structure: DAGs, or graphs in rounds
  std::vector<int64_t> part{0}, first, last, in_first, out_first;
  std::vector<int32_t> stage, level, program, source, target, by_source_target, by_source_source, in_slots;
  std::vector<const int32_t*> indices;
  int64_t rows = 0, rounds = 1;
  Structure structure;

  void build_structure() {
    rounds = chance(30) ? uniform(2, 4) : 1;
    std::vector<std::pair<int32_t, int32_t>> edges;  // target, source
    const bool staged = chance(50);
    int64_t earlier = 0;  // rows of earlier stages
    for (int64_t p = 0, parts = small ? uniform(1, 3) : chance(5) ? 100 : uniform(1, 4); p < parts; p++) {
      const int64_t begin = rows, levels = rounds > 1 || parts > 50 ? 1 : uniform(1, small ? 3 : 5);
      if (p > 0 && rounds == 1 && staged && chance(40)) stage.push_back(stage.back() + 1), earlier = rows;
      else stage.push_back(p ? stage.back() : 0);
      for (int64_t l = 0; l < levels; l++) {
        const int64_t here = rows, nodes = small ? uniform(0, 5) : chance(10) ? uniform(49, 120) : uniform(chance(5) ? 0 : 1, 20);
        const int64_t cut = chance(50) ? here + nodes : uniform(here, here + nodes);
        for (const auto& ends : {std::make_pair(here, cut), std::make_pair(cut, here + nodes)}) {
          if (ends.first == ends.second && ends.first != here) continue;
          first.push_back(ends.first);
          last.push_back(ends.second);
          level.push_back((int32_t)l);
          program.push_back(chance(5) ? -1 : (int32_t)uniform(0, 1));
        }
        rows += nodes;
        const int64_t low = begin, high = rounds > 1 ? rows : here;
        const int64_t sources = high - low + earlier;  // of the same part, or of earlier stages
        if (!sources) continue;
        for (int64_t v = here; v < rows; v++)
          for (int64_t d = 0, degree = !small && chance(1) ? 500 : uniform(0, 3); d < degree; d++) {
            const int64_t u = uniform(0, sources - 1);
            edges.push_back({(int32_t)v, (int32_t)(u < earlier ? u : low + u - earlier)});
          }
      }
      part.push_back((int64_t)first.size());
    }
    const auto offsets = [&](std::vector<int64_t>& of, const std::vector<int32_t>& ends) {
      of.assign(rows + 1, 0);
      for (int32_t v : ends) of[v + 1]++;
      for (int64_t v = 0; v < rows; v++) of[v + 1] += of[v];
    };
    for (const auto& e : edges) target.push_back(e.first), source.push_back(e.second);
    offsets(in_first, target);
    auto by_source = edges;
    std::stable_sort(by_source.begin(), by_source.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const auto& e : by_source) by_source_target.push_back(e.first), by_source_source.push_back(e.second);
    offsets(out_first, by_source_source);
    for (size_t e = 0; e < target.size(); e++) in_slots.push_back(target[e] * 2 + (int32_t)((e - in_first[target[e]]) % 2));
    indices = {nullptr, source.data(), target.data(), by_source_target.data(), by_source_source.data(), in_slots.data()};
    structure = {rows, (int64_t)edges.size(), (int64_t)edges.size(), rounds, (int64_t)part.size() - 1, (int64_t)first.size(), part.data(), stage.data(),
                 first.data(), last.data(), level.data(), program.data(), in_first.data(), out_first.data(), indices.data(), (int64_t)indices.size()};
  }
  enum { SOURCE = 1, TARGET, OUT_TARGET, OUT_SOURCE, SLOT };

  // ------------------------------------------------------------ memory
  std::deque<std::vector<T>> numbers;
  std::vector<Buffer> buffers;
  std::vector<int64_t> buffer_rows;
  std::vector<Weight> weights;
  int32_t width;
  int32_t state, state_read, of_nodes, of_edges, kept_edges, parameter, sum, slots;
  std::vector<int32_t> tiles, edge_tiles;

  T number() { return (T)((double)(int64_t)(random() % 2000001 - 1000000) / 1e6); }
  std::vector<T>& fresh(int64_t count) {
    numbers.emplace_back(std::max<int64_t>(count, 1));
    for (T& x : numbers.back()) x = number();
    return numbers.back();
  }
  int32_t global(int64_t count, int64_t copies, bool one_row = false) {
    const int32_t own = width + (int32_t)uniform(0, 3);
    buffers.push_back({fresh(std::max<int64_t>(count, 1) * copies * own).data(), one_row ? 0 : own, copies > 1 ? count * own : 0, GLOBAL, own});
    buffer_rows.push_back(count);
    return (int32_t)buffers.size() - 1;
  }
  int32_t scratch(int place, int32_t columns) {
    buffers.push_back({nullptr, 0, 0, place, columns});
    buffer_rows.push_back(0);
    return (int32_t)buffers.size() - 1;
  }
  bool reverse;

  void build_memory() {
    width = (int32_t)uniform(1, small ? 6 : chance(50) ? 10 : 50);
    reverse = chance(50);
    state = global(rows, rounds + 1);
    buffers.push_back(buffers[state]);
    state_read = (int32_t)buffers.size() - 1;
    buffer_rows.push_back(rows);
    Buffer& later = buffers[rounds > 1 ? (reverse ? state_read : state) : state];
    if (rounds > 1) later.base = static_cast<T*>(later.base) + later.round;
    else buffers[state].round = buffers[state_read].round = 0;
    of_nodes = global(rows, 1);
    of_edges = global(structure.in_edges, 1);
    kept_edges = global(structure.in_edges, rounds);
    parameter = global(1, 1, true);
    sum = scratch(SUM, width);
    buffers[sum].base = fresh(width).data();
    slots = scratch(TILE_NODES, 2 * width + (int32_t)uniform(0, 1));
    for (int q = 0; q < 3; q++) tiles.push_back(scratch(TILE_NODES, width + q)), edge_tiles.push_back(scratch(TILE_IN_EDGES, width + q));
  }

  // ------------------------------------------------------------ programs
  struct Code {
    std::vector<Instruction> instructions;
    std::vector<MicroOp> operations;
  };
  Code codes[2];
  std::vector<Program> programs;

  void chain(Code& code, int kind, int32_t columns, std::vector<MicroOp> operations) {
    const int32_t begin = (int32_t)code.operations.size();
    code.operations.insert(code.operations.end(), operations.begin(), operations.end());
    code.instructions.push_back({CHAIN, kind, columns, begin, (int32_t)code.operations.size(), 0, 0, 0, 0, 0, 0, 0});
  }
  template <class V> const auto& any(const V& v) { return v[uniform(0, (int64_t)v.size() - 1)]; }
  Operand at(int32_t buffer, int index = 0, int split = 0) { return {buffer, (int32_t)uniform(0, buffers[buffer].width - width * std::max(split, 1)), index, split}; }

  Operand readable(int kind, int registers) {
    if (registers > 0 && chance(50)) return {(int32_t)(-1 - uniform(0, registers - 1)), 0, 0, 0};
    if (chance(10)) return at(parameter);
    if (kind == NODES) return chance(30) ? at(of_nodes) : chance(20) ? at(state_read) : at(any(tiles));
    if (kind == IN_EDGES) {
      switch (uniform(0, 5)) {
        case 0: return reverse && rounds == 1 ? at(of_edges) : at(state_read, SOURCE);
        case 1: return at(of_nodes, SOURCE);
        case 2: return at(any(tiles), TARGET);
        case 3: return at(slots, SLOT, 2);
        case 4: return at(any(edge_tiles));
        default: return at(of_edges);
      }
    }
    switch (uniform(0, 2)) {
      case 0: return reverse || rounds > 1 ? at(state_read, OUT_TARGET) : at(of_nodes, OUT_TARGET);
      case 1: return at(of_nodes, OUT_TARGET);
      default: return at(any(tiles), OUT_SOURCE);
    }
  }

  std::vector<MicroOp> random_operations(int kind) {
    static const std::vector<int> ops = {COPY, ADD, SUB, MUL, FMA, FNMA, NEG, ADD_IMM, MUL_IMM, RSUB_IMM, SQUARE, ABS, MAXIMUM, MINIMUM, MAX_IMM,
                              MIN_IMM, EXP, SIGMOID, TANH, SIN, COS, ERF, SOFTPLUS, EXPM1, SIGMOID_GRAD, TANH_GRAD};
    std::vector<MicroOp> found;
    const int count = (int)uniform(1, 5);
    for (int q = 0; q < count; q++) {
      MicroOp op = {any(ops), 0, number(), {-1 - q, 0, 0, 0}, readable(kind, q), readable(kind, q), readable(kind, q)};
      found.push_back(op);
      if (op.op == EXP || op.op == EXPM1 || op.op == SQUARE) found.push_back({TANH, 0, 0, {-1 - q, 0, 0, 0}, {-1 - q, 0, 0, 0}, NONE, NONE});
    }
    found.push_back({TANH, 0, 0, {-1 - count, 0, 0, 0}, {-count, 0, 0, 0}, NONE, NONE});
    return found;
  }

  void build_program(Code& code) {
    for (int32_t t : tiles) chain(code, NODES, buffers[t].width, {{SET, 0, number(), {t, 0, 0, 0}, NONE, NONE, NONE}});
    chain(code, NODES, buffers[slots].width, {{SET, 0, number(), {slots, 0, 0, 0}, NONE, NONE, NONE}});
    for (int32_t t : edge_tiles) chain(code, IN_EDGES, buffers[t].width, {{SET, 0, number(), {t, 0, 0, 0}, NONE, NONE, NONE}});
    for (int64_t q = 0, count = uniform(2, 7); q < count; q++) {
      const int kind = (int)uniform(0, 2);
      if (kind != OUT_EDGES && chance(30)) {
        const bool nodes = kind == NODES;
        const int32_t to = uniform(0, 2), from = (int32_t)((to + uniform(1, 2)) % 3);
        const Operand a = at(nodes ? chance(50) ? of_nodes : tiles[from] : chance(50) ? of_edges : edge_tiles[from]);
        const Operand c = at(nodes ? tiles[to] : edge_tiles[to]), i = chance(30) ? at(parameter) : chance(50) ? c : NONE;
        std::vector<T>& w = fresh((int64_t)width * width);
        for (T& x : w) x /= (T)width;
        weights.push_back({w.data(), chance(50) ? width : 1, 0, width, width});
        weights.back().column = weights.back().row == 1 ? width : 1;
        code.instructions.push_back({PRODUCT, kind, 0, 0, 0, a.buffer, a.column, (int32_t)weights.size() - 1, c.buffer, c.column,
                                     i.buffer == NO_OPERAND ? -1 : i.buffer, i.column});
        continue;
      }
      auto operations = random_operations(kind);
      const Operand value = operations.back().d;
      Operand to = kind == NODES ? at(any(tiles)) : kind == IN_EDGES ? at(any(edge_tiles)) : at(any(tiles), OUT_SOURCE);
      if (kind == IN_EDGES && chance(50)) to = chance(70) ? at(any(tiles), TARGET) : at(slots, SLOT, 2);
      if (kind == IN_EDGES && chance(10)) to = at(kept_edges);
      const bool clash = std::any_of(operations.begin(), operations.end(), [&](const MicroOp& op) {  // reads what is written
        return (op.a.index && op.a.buffer == to.buffer) || (op.b.index && op.b.buffer == to.buffer) || (op.c.index && op.c.buffer == to.buffer);
      });
      if (clash) continue;
      const int adds = chance(70) ? ACCUMULATE : chance(50) ? ACCUMULATE_MAX : ACCUMULATE_PRODUCT;
      if (kind == NODES && chance(20)) operations.push_back({chance(50) ? ACCUMULATE : ACCUMULATE_PRODUCT, 0, 0, at(sum), value, value, NONE});
      operations.push_back({to.index ? adds : COPY, 0, 0, to, value, value, NONE});
      chain(code, kind, width, operations);
      if (to.index) {  // sums are brought back to size
        const int32_t whole = buffers[to.buffer].width;
        chain(code, NODES, whole, {{TANH, 0, 0, {to.buffer, 0, 0, 0}, {to.buffer, 0, 0, 0}, NONE, NONE}});
      }
    }
    const Operand here = {state, 0, 0, 0};
    chain(code, NODES, width, {{TANH, 0, 0, here, {any(tiles), 0, 0, 0}, NONE, NONE}});
    for (int k = 2; k <= 3; k++)
      if (width % k == 0) {
        const int32_t t = tiles[0];
        chain(code, NODES, width, {{chance(50) ? SUM_EACH : SUM_ALL, k, 0, {-1, 0, 0, 0}, {t, 0, 0, 0}, NONE, NONE},
                                   {chance(50) ? REPEAT_EACH : REPEAT_ALL, k, 0, {-2, 0, 0, 0}, {-1, 0, 0, 0}, NONE, NONE},
                                   {FMA, 0, 0, here, {-2, 0, 0, 0}, at(parameter), here},
                                   {TANH, 0, 0, here, here, NONE, NONE}});
      }
  }

  std::vector<WeightGradient> gradients;
  void build_gradients() {
    std::vector<T>& c = fresh((int64_t)width * (2 * width + 1));
    const int32_t m = (int32_t)uniform(1, width), n = (int32_t)uniform(1, width);
    gradients.push_back({NODES, (int32_t)uniform(-1, 1), of_nodes, 0, m, state, 0, n, c.data(), 2 * width + 1});
    gradients.push_back({IN_EDGES, (int32_t)uniform(-1, 1), of_edges, 0, m, kept_edges, 0, n, c.data() + width, 2 * width + 1});  // beside it
    gradients.push_back({IN_EDGES, 0, of_edges, 0, 1, of_edges, 0, n, c.data(), 2 * width + 1});                                 // over it
  }

  explicit Case(uint64_t seed) : random(seed) {
    build_structure();
    build_memory();
    for (Code& code : codes) build_program(code);
    for (Code& code : codes) programs.push_back({code.instructions.data(), code.operations.data(), (int64_t)code.instructions.size()});
    build_gradients();
  }
};

// ------------------------------------------------------------ what programs mean, number by number
template <class T> struct Plain {
  Case<T>& c;
  std::vector<std::vector<T>> scratch, registers;  // tiles' buffers with a row for every node or edge
  std::vector<std::vector<T>> part_sums;

  explicit Plain(Case<T>& of) : c(of) {
    for (const Buffer& b : c.buffers)
      scratch.emplace_back(b.place == TILE_NODES ? c.rows * b.width : b.place == TILE_IN_EDGES ? c.structure.in_edges * b.width : b.place == SUM ? b.width : 0);
  }
  T* cell(const Operand& o, int64_t row, int64_t columns, int64_t round) {
    const Buffer& b = c.buffers[o.buffer];
    int64_t r = o.index ? c.indices[o.index][row] : row, shift = 0;
    if (o.index && o.split) shift = r % o.split * columns, r /= o.split;
    if (b.place == SUM) return scratch[o.buffer].data() + o.column;
    if (b.place == GLOBAL) return static_cast<T*>(b.base) + round * b.round + r * b.stride + o.column + shift;
    return scratch[o.buffer].data() + r * b.width + o.column + shift;
  }
  static double value(int op, double a, double b, double c, double imm) {
    switch (op) {
      case COPY: return a;
      case ADD: return a + b;
      case SUB: return a - b;
      case MUL: return a * b;
      case FMA: return a * b + c;
      case FNMA: return c - a * b;
      case NEG: return -a;
      case ADD_IMM: return a + imm;
      case MUL_IMM: return a * imm;
      case RSUB_IMM: return imm - a;
      case SQUARE: return a * a;
      case ABS: return std::fabs(a);
      case MAXIMUM: return std::max(a, b);
      case MINIMUM: return std::min(a, b);
      case MAX_IMM: return std::max(a, imm);
      case MIN_IMM: return std::min(a, imm);
      case EXP: return std::exp(a);
      case SIGMOID: return 1 / (1 + std::exp(-a));
      case TANH: return std::tanh(a);
      case SIN: return std::sin(a);
      case COS: return std::cos(a);
      case ERF: return std::erf(a);
      case SOFTPLUS: return std::log1p(std::exp(a));
      case EXPM1: return std::expm1(a);
      case SIGMOID_GRAD: return a * b * (1 - b);
      case TANH_GRAD: return a * (1 - b * b);
      default: std::abort();
    }
  }
  void operate(const MicroOp& op, int64_t row, int32_t width, int64_t round) {
    const int32_t narrow = op.k ? width / op.k : width;
    const bool repeats = op.op == REPEAT_EACH || op.op == REPEAT_ALL || op.op == ACCUMULATE_SCALED, reduces = op.op == SUM_EACH || op.op == SUM_ALL;
    const auto of = [&](const Operand& o, int32_t columns) -> T* {
      if (o.buffer == NO_OPERAND) return nullptr;
      if (o.buffer >= 0) return cell(o, row, columns, round);
      if (registers.size() < (size_t)-o.buffer) registers.resize(-o.buffer);
      if (registers[-1 - o.buffer].size() < (size_t)width) registers[-1 - o.buffer].resize(width);
      return registers[-1 - o.buffer].data();
    };
    of(op.d, width), of(op.a, width), of(op.b, width), of(op.c, width);  // registers stay where they are
    T *d = of(op.d, reduces ? narrow : width), *a = of(op.a, repeats ? narrow : width), *b = of(op.b, width), *e = of(op.c, width);
    if (reduces) {
      std::vector<T> sums(narrow);
      for (int32_t j = 0; j < width; j++) sums[op.op == SUM_EACH ? j / op.k : j % narrow] += a[j];
      std::copy(sums.begin(), sums.end(), d);
      return;
    }
    for (int32_t j = 0; j < width; j++) {
      if (op.op == SET) d[j] = (T)op.imm;
      else if (op.op == REPEAT_EACH) d[j] = a[j / op.k];
      else if (op.op == REPEAT_ALL) d[j] = a[j % narrow];
      else if (op.op == ACCUMULATE) d[j] += a[j];
      else if (op.op == ACCUMULATE_PRODUCT) d[j] += a[j] * b[j];
      else if (op.op == ACCUMULATE_SCALED) d[j] += a[j / op.k] * b[j];
      else if (op.op == ACCUMULATE_MAX) d[j] = std::max(d[j], a[j]);
      else d[j] = (T)value(op.op, a[j], b ? b[j] : 0, e ? e[j] : 0, (T)op.imm);
    }
  }
  void run_stretch(int64_t s, int64_t round) {
    if (c.program[s] < 0) return;
    const Program& program = c.programs[c.program[s]];
    for (int64_t q = 0; q < program.count; q++) {
      const Instruction& i = program.instructions[q];
      const auto offset = [&](int64_t v) { return i.rows == NODES ? v : i.rows == IN_EDGES ? c.in_first[v] : c.out_first[v]; };
      for (int64_t row = offset(c.first[s]); row < offset(c.last[s]); row++) {
        if (i.kind == CHAIN) {
          for (int32_t k = i.first; k < i.last; k++) operate(program.operations[k], row, i.width, round);
          continue;
        }
        const Weight& w = c.weights[i.weight];
        T *a = cell({i.a, i.a_column, 0, 0}, row, w.k, round), *to = cell({i.c, i.c_column, 0, 0}, row, w.n, round);
        T* add = i.i < 0 ? nullptr : cell({i.i, i.i_column, 0, 0}, row, w.n, round);
        for (int32_t n = 0; n < w.n; n++) {
          double sum = add ? add[n] : 0;
          for (int32_t k = 0; k < w.k; k++) sum += (double)a[k] * static_cast<const T*>(w.w)[k * w.row + n * w.column];
          to[n] = (T)sum;
        }
      }
    }
  }
  void run() {
    for (int64_t q = 0, parts = (int64_t)c.part.size() - 1; q < parts; q++) {
      const int64_t p = c.reverse ? parts - 1 - q : q;
      for (int64_t r = 0; r < c.rounds; r++)
        for (int64_t i = c.part[p]; i < c.part[p + 1]; i++)
          run_stretch(c.reverse ? c.part[p + 1] - 1 - (i - c.part[p]) : i, c.reverse ? c.rounds - 1 - r : r);
    }
    std::copy_n(scratch[c.sum].begin(), c.width, static_cast<T*>(c.buffers[c.sum].base));
    for (const WeightGradient& g : c.gradients)
      for (int64_t r = 0; r < c.rounds; r++)
        for (size_t s = 0; s < c.first.size(); s++) {
          if (c.program[s] < 0 || (g.program >= 0 && g.program != c.program[s])) continue;
          const int64_t low = g.rows == NODES ? c.first[s] : c.in_first[c.first[s]], high = g.rows == NODES ? c.last[s] : c.in_first[c.last[s]];
          for (int64_t row = low; row < high; row++)
            for (int32_t i = 0; i < g.m; i++)
              for (int32_t j = 0; j < g.n; j++)
                static_cast<T*>(g.c)[i * g.c_stride + j] += cell({g.a, g.a_column, 0, 0}, row, g.m, r)[i] * cell({g.b, g.b_column, 0, 0}, row, g.n, r)[j];
        }
  }
};

template <class T> Status run(Case<T>& c, const graphrec::Kernels<T>& kernels, int threads) {
  const Status status = graphrec::sweep<T>(kernels, c.structure, c.buffers.data(), (int64_t)c.buffers.size(), c.weights.data(), (int64_t)c.weights.size(),
                                           c.programs.data(), 2, c.reverse, threads);
  if (status != STATUS_OK) return status;
  return graphrec::weight_gradients<T>(kernels, c.structure, c.buffers.data(), c.gradients.data(), (int64_t)c.gradients.size(), threads);
}

template <class T> bool agrees(uint64_t seed) {
  Case<T> plain(seed), native(seed);
  char message[300] = "";
  if (graphrec::check({native.structure, native.buffers.data(), (int64_t)native.buffers.size(), native.weights.data(), (int64_t)native.weights.size(),
                       native.programs.data(), 2, native.buffer_rows.data(), native.gradients.data(), (int64_t)native.gradients.size()},
                      message, sizeof message) != STATUS_OK)
    return std::printf("seed %llu: the check says: %s\n", (unsigned long long)seed, message), false;
  Plain<T>(plain).run();
  const int threads = 1 + (int)(seed % 3);
  const Status status = run(native, graphrec::kernels<T>(), threads);
  if (status != STATUS_OK) return std::printf("seed %llu: status %d\n", (unsigned long long)seed, status), false;
  const double bound = sizeof(T) == 8 ? 1e-9 : 2e-3;
  for (size_t b = 0; b < plain.numbers.size(); b++) {
    double size = 1;
    for (const T x : plain.numbers[b]) size = std::max(size, std::fabs((double)x));
    for (size_t j = 0; j < plain.numbers[b].size(); j++)
      if (!(std::fabs((double)plain.numbers[b][j] - (double)native.numbers[b][j]) <= bound * size))
        return std::printf("seed %llu, memory %zu, number %zu: %.17g, expected %.17g\n", (unsigned long long)seed, b, j, (double)native.numbers[b][j], (double)plain.numbers[b][j]), false;
  }
  return true;
}

// Products of rounded operands have other values, of which tests in Python know more: here they touch no other memory.
Status run_rounded(uint64_t seed) {
  Case<float> c(seed);
  return graphrec::kernels_bf16() ? run(c, *graphrec::kernels_bf16(), 1 + (int)(seed % 3)) : STATUS_OK;
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 300, begin = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  small = argc > 3 && std::strcmp(argv[3], "small") == 0;
  graphrec::worth = {0, 0, 0};
  uint64_t wrong = 0;
  for (uint64_t seed = begin; seed < begin + count; seed++) {
    wrong += !(seed % 2 ? agrees<float>(seed) : agrees<double>(seed));
    wrong += run_rounded(seed) != STATUS_OK;
  }
  std::printf("%llu cases on %s, %llu wrong\n", (unsigned long long)count, graphrec::isa(), (unsigned long long)wrong);
  return wrong != 0;
}
