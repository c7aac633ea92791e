// Kernels of 16-byte vectors, which every processor has (SSE2, NEON).
#define VECTOR_BYTES 16
#include "kernels_impl.h"

graphrec::KernelTables graphrec::kernels_base() { return {&TABLE<float>, &TABLE<double>}; }
