// Kernels for x86 processors with AVX2; empty elsewhere.
#if defined(__x86_64__)
#define VECTOR_BYTES 32
#include "kernels_impl.h"

graphrec::KernelTables graphrec::kernels_avx2() { return {&TABLE<float>, &TABLE<double>}; }
#else
#include "kernels.h"

graphrec::KernelTables graphrec::kernels_avx2() { return {nullptr, nullptr}; }
#endif
