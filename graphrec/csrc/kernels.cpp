// Which kernels are in use: the widest that the processor has, or those that GRAPHREC_ISA names.
#include "kernels.h"

#include <cstdlib>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

bool has_bf16() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
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

struct Bf16 {
  Kernels<float> kernels;
  bool there;
};
const Bf16 BF16 = [] {
  Bf16 made = {};
  made.there = std::strcmp(CHOICE.name, "avx512") == 0 && has_bf16() && make_bf16(*CHOICE.tables.of_float, &made.kernels);
  return made;
}();

}  // namespace

template <> const Kernels<float>& kernels<float>() { return *CHOICE.tables.of_float; }
template <> const Kernels<double>& kernels<double>() { return *CHOICE.tables.of_double; }
const Kernels<float>* kernels_bf16() { return BF16.there ? &BF16.kernels : nullptr; }
const char* isa() { return CHOICE.name; }

}  // namespace graphrec
