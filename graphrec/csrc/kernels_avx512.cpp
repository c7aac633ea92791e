// Kernels for x86 processors with AVX-512; empty elsewhere.
#if defined(__x86_64__)
#define VECTOR_BYTES 64
#include "kernels_impl.h"

graphrec::KernelTables graphrec::kernels_avx512() { return {&TABLE<float>, &TABLE<double>}; }
#else
#include "kernels.h"

graphrec::KernelTables graphrec::kernels_avx512() { return {nullptr, nullptr}; }
#endif
