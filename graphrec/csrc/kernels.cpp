// Which kernels are in use: the widest that the processor has, or those that GRAPHREC_ISA names.
#include "kernels.h"

#include <cstdlib>
#include <cstring>

namespace graphrec {
namespace {

struct Choice {
  const char* name;
  KernelTables tables;
};

bool has_avx512() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool has_avx2() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

Choice choose() {
  const char* wanted = std::getenv("GRAPHREC_ISA");
  const auto allowed = [&](const char* name) { return !wanted || !*wanted || std::strcmp(wanted, name) == 0; };
  if (has_avx512() && allowed("avx512")) return {"avx512", kernels_avx512()};
  if (has_avx2() && allowed("avx2")) return {"avx2", kernels_avx2()};
  return {"base", kernels_base()};
}

const Choice CHOICE = choose();

}  // namespace

template <> const Kernels<float>& kernels<float>() { return *CHOICE.tables.of_float; }
template <> const Kernels<double>& kernels<double>() { return *CHOICE.tables.of_double; }
const char* isa() { return CHOICE.name; }

}  // namespace graphrec
