// The kernels of one instruction set: included once by each kernels_*.cpp, with VECTOR_BYTES set.
#pragma once
#include "edges_impl.h"
#include "operations_impl.h"
#include "products_impl.h"
#include "recurrence_impl.h"

namespace {

template <class T> constexpr graphrec::Kernels<T> TABLE = {
    LANES<T>, PANEL<T>, HEIGHT, pack<T>, product<T>, pack_right<T>, pack_left<T>, product_transposed<T>, outer<T>,
    operate<T>, edge_sums<T>, inbox_softmax<T>, recurrence<T>,
};

}  // namespace
