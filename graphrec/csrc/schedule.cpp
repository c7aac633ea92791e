// Scratch memory holds 32-bit numbers where they suffice: what is read in random order then fits into the caches.
#include "schedule.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

// Fresh memory costs a page fault for each 4 kB, which for large arrays takes longer than filling them does.
template <class T>
void in_large_pages(T* memory, int64_t count) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t page = uintptr_t(1) << 21;
  const auto from = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = (from + page - 1) / page * page, last = (from + count * sizeof(T)) / page * page;
  if (memory && first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Scratch = std::unique_ptr<T[], Free>;

// Memory of numbers that are not set.
template <class T>
Scratch<T> scratch(int64_t count) {
  Scratch<T> memory(static_cast<T*>(std::malloc(std::max<size_t>(count, 1) * sizeof(T))));
  if (!memory) throw std::bad_alloc();
  in_large_pages(memory.get(), count);
  return memory;
}

template <class T>
Scratch<T> zeros(int64_t count) {
  auto memory = scratch<T>(count);
  std::fill_n(memory.get(), count, T{});
  return memory;
}

bool is_in(int64_t number, int64_t count) {
  return static_cast<uint64_t>(number) < static_cast<uint64_t>(count);
}

// Counts become the place where each group begins; returns their total.
template <class T>
int64_t begin_of_each(T* count, int64_t groups) {
  int64_t total = 0;
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t size = count[group];
    count[group] = static_cast<T>(total);
    total += size;
  }
  return total;
}

// Calls a function with a number of the type in which all counts fit.
template <class F>
int64_t with_numbers(int64_t nodes, int64_t edges, F function) {
  try {
    if (std::max(nodes, edges) < std::numeric_limits<int32_t>::max()) return function(int32_t());
    return function(int64_t());
  } catch (const std::bad_alloc&) {
    return NO_MEMORY;
  }
}

// What is known of a node while levels are found, side by side: a visit reads all of it.
template <class T>
struct Node {
  T missing;  // sources that have no level yet
  T level;
  T count;    // of targets
  T target;   // the only target; of several, where they begin in a list of all targets
};

// Kahn (1962): a node whose sources are all done is done, one level after the last of them.
template <class T>
int64_t levels(int64_t nodes, int64_t edges, const int64_t* source, const int64_t* target, int64_t* level) {
  auto node = zeros<Node<T>>(nodes);
  for (int64_t e = 0; e < edges; ++e) {
    if (!is_in(source[e], nodes) || !is_in(target[e], nodes)) return NOT_A_NODE;
    ++node[source[e]].count;
    ++node[target[e]].missing;
  }
  int64_t listed = 0;
  for (int64_t v = 0; v < nodes; ++v) {
    node[v].target = static_cast<T>(listed);
    if (node[v].count > 1) listed += node[v].count;
  }
  auto targets = scratch<T>(listed);
  for (int64_t e = 0; e < edges; ++e) {
    Node<T>& from = node[source[e]];
    (from.count == 1 ? from.target : targets[from.target++]) = static_cast<T>(target[e]);
  }
  const auto targets_of = [&](const Node<T>& from) {  // (by now it points behind the last of several)
    return from.count == 1 ? &from.target : targets.get() + (from.target - from.count);
  };
  auto queue = scratch<T>(nodes);
  int64_t done = 0, ready = 0;
  for (int64_t v = 0; v < nodes; ++v)
    if (!node[v].missing) queue[ready++] = static_cast<T>(v);
  for (; done < ready; ++done) {
    constexpr int64_t ahead = 8;  // nodes are fetched before their turn comes
    if (done + 2 * ahead < ready) __builtin_prefetch(&node[queue[done + 2 * ahead]]);
    if (done + ahead < ready) {
      const Node<T>& soon = node[queue[done + ahead]];
      if (soon.count) __builtin_prefetch(&node[*targets_of(soon)], 1);
    }
    const Node<T>& own = node[queue[done]];
    const T* reached = targets_of(own);
    for (T i = 0; i < own.count; ++i) {
      Node<T>& next = node[reached[i]];
      if (--next.missing) continue;
      next.level = own.level + 1;
      queue[ready++] = reached[i];
    }
  }
  if (done < nodes) return CYCLE;
  in_large_pages(level, nodes);
  for (int64_t v = 0; v < nodes; ++v) level[v] = node[v].level;
  return nodes ? node[queue[nodes - 1]].level + 1 : 0;
}

// Sorts the numbers in `perm` by a key of each, which lies between low and high, 11 bits at a time.
template <class T>
void sort_by(const int64_t* key, int64_t low, int64_t high, int64_t count, Scratch<T>& perm) {
  constexpr int bits = 11;
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  auto other = scratch<T>(count);
  for (int shift = 0; shift < 64 && span >> shift; shift += bits) {
    const auto digit = [=](int64_t value) {
      return ((static_cast<uint64_t>(value) - static_cast<uint64_t>(low)) >> shift) & ((1u << bits) - 1);
    };
    int64_t place[1 << bits] = {};
    for (int64_t i = 0; i < count; ++i) ++place[digit(key[perm[i]])];
    begin_of_each(place, 1 << bits);
    for (int64_t i = 0; i < count; ++i) other[place[digit(key[perm[i]])]++] = perm[i];
    perm.swap(other);
  }
}

template <class T>
int64_t order(int64_t nodes, int64_t levels, const int64_t* level, const int64_t* kind, int64_t* perm,
              int64_t* inv_perm, int64_t* bounds) {
  auto place = zeros<T>(levels + 1);
  for (int64_t v = 0; v < nodes; ++v) {
    if (!is_in(level[v], levels)) return NOT_A_NODE;
    ++place[level[v]];
  }
  begin_of_each(place.get(), levels + 1);
  std::copy_n(place.get(), levels + 1, bounds);
  Scratch<T> by_kind;
  if (kind && nodes) {
    by_kind = scratch<T>(nodes);
    for (int64_t v = 0; v < nodes; ++v) by_kind[v] = static_cast<T>(v);
    const auto range = std::minmax_element(kind, kind + nodes);
    sort_by<T>(kind, *range.first, *range.second, nodes, by_kind);
  }
  in_large_pages(perm, nodes);
  in_large_pages(inv_perm, nodes);
  bool is_identity = true;
  for (int64_t i = 0; i < nodes; ++i) {
    const int64_t v = by_kind ? by_kind[i] : i, position = place[level[v]]++;
    perm[position] = v;
    inv_perm[v] = position;
    is_identity &= position == v;
  }
  return is_identity;
}

template <class T>
struct Edge {
  T number, source, slot;
};

template <class T>
int64_t inboxes(Inboxes& in) {
  const auto at = [&](int64_t node) { return static_cast<T>(in.position ? in.position[node] : node); };
  const auto begin_of = [&](int64_t level) { return in.bounds ? in.bounds[level] : level * in.nodes; };
  auto target = scratch<T>(in.edges);  // positions
  auto first = zeros<T>(in.nodes);
  int64_t highest = -1;
  for (int64_t e = 0; e < in.edges; ++e) {
    if (!is_in(in.target[e], in.nodes) || !is_in(in.slot[e], std::numeric_limits<T>::max())) return NOT_A_NODE;
    if (in.position && !is_in(in.source[e], in.nodes)) return NOT_A_NODE;
    target[e] = at(in.target[e]);
    ++first[target[e]];
    highest = std::max(highest, in.slot[e]);
  }
  in.num_slots = highest + 1;
  begin_of_each(first.get(), in.nodes);
  auto sorted = scratch<Edge<T>>(in.edges);
  for (int64_t e = 0; e < in.edges; ++e)
    sorted[first[target[e]]++] = {static_cast<T>(e), at(in.source[e]), static_cast<T>(in.slot[e])};
  // Now each node's `first` is where the next one's edges begin.
  for (int64_t* out : {in.out_source, in.out_target, in.out_edge, in.out_slot}) in_large_pages(out, in.edges);
  in_large_pages(in.first_edge, in.nodes);
  in.distinct_slots = 1;
  in.edge_bounds[0] = 0;
  int64_t begin = 0;
  for (int64_t level = 0; level < in.levels; ++level) {
    int64_t fewest = std::numeric_limits<int64_t>::max(), most = 0;
    const int64_t first_of_level = begin;
    const int64_t first_node = begin_of(level), last_node = begin_of(level + 1);
    for (int64_t node = first_node; node < last_node; ++node) {
      const int64_t end = first[node], degree = end - begin;
      fewest = std::min(fewest, degree);
      most = std::max(most, degree);
      in.first_edge[node] = begin - first_of_level;
      Edge<T>*from = &sorted[begin], *to = from + degree;
      const auto by_slot = [](const Edge<T>& a, const Edge<T>& b) { return a.slot < b.slot; };
      if (degree > 1 && !std::is_sorted(from, to, by_slot)) std::stable_sort(from, to, by_slot);
      for (int64_t i = begin; i < end; ++i) {
        const Edge<T>& one = sorted[i];
        in.out_source[i] = one.source;
        in.out_target[i] = node - first_node;
        in.out_edge[i] = in.edge ? in.edge[one.number] : one.number;
        in.out_slot[i] = one.slot;
        if (in.relation) in.out_relation[i] = in.relation[one.number];
        if (i > begin && sorted[i - 1].slot == one.slot) in.distinct_slots = 0;
      }
      begin = end;
    }
    in.fewest[level] = std::min(fewest, most);
    in.most[level] = most;
    in.edge_bounds[level + 1] = begin;
  }
  return 0;
}

template <class T>
int64_t transpose(int64_t sources, int64_t edges, const int64_t* source, const int64_t* target, int64_t* perm,
                  int64_t* out_source, int64_t* out_target, int64_t* first) {
  auto place = zeros<T>(sources);
  for (int64_t* out : {perm, out_source, out_target}) in_large_pages(out, edges);
  for (int64_t e = 0; e < edges; ++e) {
    if (!is_in(source[e], sources)) return NOT_A_NODE;
    ++place[source[e]];
  }
  begin_of_each(place.get(), sources);
  std::copy_n(place.get(), sources, first);
  for (int64_t e = 0; e < edges; ++e) {
    const int64_t to = place[source[e]]++;
    perm[to] = e;
    out_source[to] = source[e];
    out_target[to] = target[e];
  }
  return 0;
}

struct OutEdges {
  int64_t *row, *gather, *sender, *reader, *length, *bounds, *is_whole, *is_sorted;
};

template <class T>
int64_t out_edges(int64_t steps, int64_t edges, const int64_t* row_bounds, const int64_t* edge_bounds,
                  const int64_t* source, const OutEdges& out) {
  const int64_t rows = row_bounds[steps + 1];
  auto level = scratch<T>(rows), step = scratch<T>(edges), sent = scratch<T>(edges);
  auto place = zeros<T>(steps + 1), received = zeros<T>(steps);
  for (int64_t l = 0; l <= steps; ++l)
    for (int64_t r = row_bounds[l]; r < row_bounds[l + 1]; ++r) level[r] = static_cast<T>(l);
  for (int64_t t = 0; t < steps; ++t) {
    out.is_sorted[t] = 1;
    for (int64_t e = edge_bounds[t]; e < edge_bounds[t + 1]; ++e) {
      if (!is_in(source[e], rows)) return NOT_A_NODE;
      step[e] = static_cast<T>(t);
      ++place[level[source[e]]];
    }
  }
  for (int64_t l = 0; l <= steps; ++l) out.is_whole[l] = place[l] == row_bounds[l + 1] - row_bounds[l];
  out.bounds[steps + 1] = begin_of_each(place.get(), steps + 1);
  std::copy_n(place.get(), steps + 1, out.bounds);
  for (int64_t e = 0; e < edges; ++e) sent[place[level[source[e]]]++] = static_cast<T>(e);
  int64_t runs = 0;
  for (int64_t i = 0; i < edges; ++i) {
    const int64_t e = sent[i], l = level[source[e]], t = step[e];
    out.row[i] = source[e] - row_bounds[l];
    out.is_whole[l] &= out.row[i] == i - out.bounds[l];
    out.gather[e] = received[t]++;
    out.is_sorted[t] &= out.gather[e] == e - edge_bounds[t];
    if (!runs || out.sender[runs - 1] != l || out.reader[runs - 1] != t) {
      out.sender[runs] = l;
      out.reader[runs] = t;
      out.length[runs++] = 0;
    }
    ++out.length[runs - 1];
  }
  return runs;
}

template <class T>
int64_t default_slots(int64_t nodes, int64_t edges, const int64_t* source, const int64_t* target, int64_t* slot) {
  auto count = zeros<T>(nodes);
  in_large_pages(slot, edges);
  for (int64_t e = 0; e < edges; ++e) {
    if (!is_in(source[e], nodes) || !is_in(target[e], nodes)) return NOT_A_NODE;
    slot[e] = count[target[e]]++;
  }
  return 0;
}

// A segment while it is found.
template <class T>
struct Found {
  T level, length, degree;
  T parent;  // as they are found
  int64_t row;
};

template <class T>
int64_t segments(const Segments& s) {
  auto leaving = zeros<T>(s.nodes);
  for (int64_t e = 0; e < s.edges; ++e) {
    const int64_t from = s.source[e] - s.boundary, to = s.target[e];
    if (!is_in(s.source[e], s.boundary + s.nodes) || !is_in(to, s.nodes) || from >= to) return NOT_A_NODE;
    if (e && to < s.target[e - 1]) return NOT_A_NODE;
    if (from >= 0) ++leaving[from];
  }
  auto of = scratch<T>(s.nodes), step = scratch<T>(s.nodes);  // the segment of each position, how far it is in it
  auto found = scratch<Found<T>>(s.nodes);
  int64_t count = 0, levels = 0, e = 0;
  for (int64_t v = 0; v < s.nodes; ++v) {
    const int64_t first = e;
    while (e < s.edges && s.target[e] == v) ++e;
    const int64_t row = e - first == 1 ? s.source[first] : -1, from = row - s.boundary;
    if (row >= 0 && from >= 0 && leaving[from] == 1) {
      of[v] = of[from];
      step[v] = step[from] + 1;
      ++found[of[v]].length;
      continue;
    }
    T level = 0;
    for (int64_t i = first; i < e; ++i)
      if (s.source[i] >= s.boundary) level = std::max<T>(level, found[of[s.source[i] - s.boundary]].level + 1);
    const T parent = row >= 0 && from >= 0 ? of[from] : T(-1);
    found[count] = {level, 1, static_cast<T>(e - first), parent, row};
    of[v] = static_cast<T>(count++);
    step[v] = 0;
    levels = std::max<int64_t>(levels, level + 1);
  }
  // By length, and then by level.
  auto by_length = scratch<T>(count), rank = scratch<T>(count), of_length = zeros<T>(s.nodes + 1);
  auto of_level = zeros<T>(levels);
  for (int64_t i = 0; i < count; ++i) {
    ++of_length[s.nodes - found[i].length];
    ++of_level[found[i].level];
  }
  begin_of_each(of_length.get(), s.nodes + 1);
  begin_of_each(of_level.get(), levels);
  for (int64_t level = 0; level < levels; ++level) s.segment_bounds[level] = of_level[level];
  s.segment_bounds[levels] = count;
  for (int64_t i = 0; i < count; ++i) by_length[of_length[s.nodes - found[i].length]++] = static_cast<T>(i);
  for (int64_t i = 0; i < count; ++i) {
    const T own = by_length[i];
    rank[own] = of_level[found[own].level]++;
    s.length[rank[own]] = found[own].length;
  }
  s.step_bounds[0] = 0;
  for (int64_t level = 0; level < levels; ++level)
    s.step_bounds[level + 1] = s.step_bounds[level] + s.length[s.segment_bounds[level]];
  for (int64_t i = 0; i < count; ++i) {
    s.degree[rank[i]] = found[i].degree;
    s.row[rank[i]] = found[i].row;
    s.parent[rank[i]] = found[i].parent < 0 ? -1 : rank[found[i].parent];
  }
  const int64_t steps = s.step_bounds[levels];
  auto begin = zeros<T>(steps);
  for (int64_t v = 0; v < s.nodes; ++v) ++begin[s.step_bounds[found[of[v]].level] + step[v]];
  for (int64_t t = 0; t < steps; ++t) s.counts[t] = begin[t];
  begin_of_each(begin.get(), steps);
  for (int64_t v = 0; v < s.nodes; ++v) {
    const int64_t level = found[of[v]].level, number = rank[of[v]];
    const int64_t place = begin[s.step_bounds[level] + step[v]] + number - s.segment_bounds[level];
    if (!is_in(s.node[v], s.nodes)) return NOT_A_NODE;
    s.perm[place] = s.node[v];
    s.inv_perm[s.node[v]] = place;
    s.segment[s.node[v]] = number;
  }
  return levels;
}

}  // namespace

int64_t graphrec_levels(int64_t nodes, int64_t edges, const int64_t* source, const int64_t* target, int64_t* level) {
  return with_numbers(nodes, edges, [=](auto number) {
    return levels<decltype(number)>(nodes, edges, source, target, level);
  });
}

int64_t graphrec_order(int64_t nodes, int64_t levels, const int64_t* level, const int64_t* kind, int64_t* perm,
                       int64_t* inv_perm, int64_t* bounds) {
  return with_numbers(nodes, 0, [=](auto number) {
    return order<decltype(number)>(nodes, levels, level, kind, perm, inv_perm, bounds);
  });
}

int64_t graphrec_inboxes(Inboxes* in) {
  return with_numbers(in->nodes, in->edges, [=](auto number) { return inboxes<decltype(number)>(*in); });
}

int64_t graphrec_transpose(int64_t sources, int64_t edges, const int64_t* source, const int64_t* target, int64_t* perm,
                           int64_t* out_source, int64_t* out_target, int64_t* first) {
  return with_numbers(sources, edges, [=](auto number) {
    return transpose<decltype(number)>(sources, edges, source, target, perm, out_source, out_target, first);
  });
}

int64_t graphrec_default_slots(int64_t nodes, int64_t edges, const int64_t* source, const int64_t* target,
                               int64_t* slot) {
  return with_numbers(nodes, edges, [=](auto number) {
    return default_slots<decltype(number)>(nodes, edges, source, target, slot);
  });
}

int64_t graphrec_out_edges(int64_t steps, int64_t edges, const int64_t* row_bounds, const int64_t* edge_bounds,
                           const int64_t* source, int64_t* row, int64_t* gather, int64_t* sender, int64_t* reader,
                           int64_t* length, int64_t* bounds, int64_t* is_whole, int64_t* is_sorted) {
  const OutEdges out{row, gather, sender, reader, length, bounds, is_whole, is_sorted};
  return with_numbers(row_bounds[steps + 1], edges, [=](auto number) {
    return out_edges<decltype(number)>(steps, edges, row_bounds, edge_bounds, source, out);
  });
}

int64_t graphrec_segments(Segments* s) {
  return with_numbers(s->boundary + s->nodes, s->edges, [=](auto number) { return segments<decltype(number)>(*s); });
}
