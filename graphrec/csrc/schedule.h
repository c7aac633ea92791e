// The scheduler: levels, orders and sorted edges of graphs of any size, by counting sorts.
//
// All numbers are 64-bit integers; N nodes, E edges. Nothing is kept between calls, and nothing is written but what is
// named `out` here. A function returns a count that is 0 or more, or one of the codes below, after which what it has
// written means nothing.
#pragma once
#include <stdint.h>

#include "export.h"

enum ScheduleError {
  CYCLE = -1,       // nodes depend on themselves
  NOT_A_NODE = -2,  // a number that is not that of a node, a level or a slot
  NO_MEMORY = -3,
};

// The length of the longest path to each node, out level[N]. Returns how many levels there are.
GRAPHREC_EXPORT int64_t graphrec_levels(int64_t nodes, int64_t edges, const int64_t* source, const int64_t* target,
                                        int64_t* level);

// The nodes by level, in a level by kind (null: none), and then by number: out perm[N], its inverse inv_perm[N], and
// where each level begins, bounds[levels + 1]. Returns whether perm counts up.
GRAPHREC_EXPORT int64_t graphrec_order(int64_t nodes, int64_t levels, const int64_t* level, const int64_t* kind,
                                       int64_t* perm, int64_t* inv_perm, int64_t* bounds);

// The edges sorted by the position of their target, and then by slot; edges that agree in both remain in order.
struct Inboxes {
  int64_t nodes, edges, levels;
  const int64_t* bounds;                        // [levels + 1]: where each level begins; null: there is one level
  const int64_t* position;                      // [N]: of each node; null: source and target are positions already
  const int64_t *source, *target, *slot;        // [E]
  const int64_t *edge, *relation;               // [E]; null: the edges are 0, 1, 2, ...; there are no relations
  int64_t *out_source, *out_target;             // [E]: positions; that of the target counted from its level's first
  int64_t *out_edge, *out_slot, *out_relation;  // [E]
  int64_t* first_edge;                          // [N]: the first edge into each, counted from its level's first
  int64_t* edge_bounds;                         // [levels + 1]
  int64_t *fewest, *most;                       // [levels]: edges that a node receives (0 where a level has none)
  int64_t num_slots, distinct_slots;            // out: one more than the highest slot; whether each is filled once
};
GRAPHREC_EXPORT int64_t graphrec_inboxes(struct Inboxes* inboxes);

// The edges sorted by source: out perm[E], the source and target of each, and where those of each source begin,
// first[sources].
GRAPHREC_EXPORT int64_t graphrec_transpose(int64_t sources, int64_t edges, const int64_t* source,
                                           const int64_t* target, int64_t* perm, int64_t* out_source,
                                           int64_t* out_target, int64_t* first);

// For each edge, how many of the edges before it enter the same target: out slot[E]. (Both ends are checked.)
GRAPHREC_EXPORT int64_t graphrec_default_slots(int64_t nodes, int64_t edges, const int64_t* source,
                                               const int64_t* target, int64_t* slot);

// The edges of an async schedule sorted by the level that they leave and the step that they enter, out row[E]: their
// sources, counted from their level's first. Level 0 is the boundary rows; row_bounds[steps + 2] says where the rows of
// each level begin, edge_bounds[steps + 1] the edges of each step. For each edge as given, gather[E] is its place among
// those of its step sorted by level. Edges from one level to one step are a run: sender, reader and length of each, [E]
// at most. bounds[steps + 2]: where each level's edges begin in `row`. is_whole[steps + 1]: whether a level sends all
// of its rows once, in order; is_sorted[steps]: whether `gather` counts up in a step. Returns the number of runs.
GRAPHREC_EXPORT int64_t graphrec_out_edges(int64_t steps, int64_t edges, const int64_t* row_bounds,
                                           const int64_t* edge_bounds, const int64_t* source, int64_t* row,
                                           int64_t* gather, int64_t* sender, int64_t* reader, int64_t* length,
                                           int64_t* bounds, int64_t* is_whole, int64_t* is_sorted);

// The segments of an async schedule: maximal runs of nodes, each of which has one source, whose only target it is.
struct Segments {
  int64_t nodes, edges, boundary;         // N, E, and how many rows stand before those of the nodes
  const int64_t *source, *target;         // [E]: the row of each edge's source, the position of its target, in order
  const int64_t* node;                    // [N]: at each position; sources stand before their targets
  int64_t *perm, *inv_perm;               // [N]: the nodes by level of segments, step and segment; the inverse
  int64_t* segment;                       // [N]: of each node; numbered by level, length (longest first), and head
  int64_t *length, *degree;               // [segments]: of each, and how many edges enter its head
  int64_t *row, *parent;                  // [segments]: the only row that its head reads, and its segment; or -1
  int64_t *segment_bounds, *step_bounds;  // [levels + 1]: the first of each level
  int64_t* counts;                        // [steps]: how many segments reach each step
};
// All that is written has room for N, or N + 1, numbers. Returns the number of levels.
GRAPHREC_EXPORT int64_t graphrec_segments(struct Segments* segments);
