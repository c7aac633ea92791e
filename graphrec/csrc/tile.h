// Runs one program over the rows of one tile.
#pragma once
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "program.h"

namespace graphrec {

constexpr int64_t TILE = 48;  // rows of nodes at most: a tile's scratch memory stays in the second cache

// What all tiles of a sweep share.
template <class T> struct Context {
  const Structure& structure;
  const Buffer* buffers;
  int64_t num_buffers;
  const Program* programs;
  int64_t num_programs;
  const Kernels<T>& kernels;

  struct Packed {
    const T* numbers;
    int32_t k, n;
  };
  struct Lay {  // of a tile's buffer or a sum: the numbers of those before it, and the length of its rows
    int64_t offset, stride;
  };
  std::vector<Packed> weights = {};
  std::vector<Lay> lays = {};
  std::vector<std::vector<int64_t>> first_step = {};  // of each instruction of each program; see Scratch::steps
  int64_t node_numbers = 0, edge_numbers = 0;  // of all tiles' buffers, for a row
  int64_t sum_numbers = 0, registers = 0;
  int64_t outer_numbers = 0;    // of the sides of an OUTER, for a row, at most
  int64_t ordered_numbers = 0;  // of a product's operands that lie in the caller's order, for a row, at most
  int64_t longest_register = STRIP, num_steps = 0, most_edges = 0;  // edges that a tile of several nodes may have

  int64_t padded(int64_t width) const {  // rows narrower than a vector follow each other without gaps
    const int64_t lanes = kernels.lanes;
    return width < lanes ? width : (width + lanes - 1) / lanes * lanes;
  }
};

// Memory of one thread.
template <class T> struct Scratch {
  Memory nodes, edges, registers, ordered, outer;
  int64_t edge_room = 0;  // rows of `edges`
  T* sums = nullptr;      // of the part that is being run

  // An operation of a chain, and where its operands d, a, b, c lie for a tile that begins with row 0 in round 0.
  struct Step {
    Operation<T> operation;
    struct Place {
      T* base;
      const int32_t* index;
      int64_t of_row, of_round;  // how far `base` moves with the tile's first row, and with the round
      int64_t move;              // and from row to row within a strip
      int64_t origin;            // how many of what an index counts come with each row before the tile's first
      int32_t origin_kind;       // of these rows
    } places[4];
  };
  std::vector<Step> steps;  // of all chains, as Context::first_step says

  bool reserve(const Context<T>&);
  void prepare(const Context<T>&);  // the steps; after `reserve`, and whenever `sums` or `edges` are others
  size_t bytes() const { return nodes.bytes() + edges.bytes() + registers.bytes() + ordered.bytes() + outer.bytes(); }
};

// Rows first to last - 1 of a stretch, with the program of this number. False where memory ran out.
template <class T>
bool run_tile(const Context<T>&, Scratch<T>&, int64_t program, int64_t first, int64_t last, int64_t round);

}  // namespace graphrec
