// Elementary functions of vectors. Largest errors, in units in the last place (ulp) of a normal result, as
// tests/native/test_vector_functions.py checks them:
//               float  double
//   exp           2      2
//   log           2      2
//   sigmoid       3      3
//   tanh          3      3
//   expm1         3      3
//   log1p         3      3
//   softplus      4      4
// NaN travels, infinities give limits, and results below the smallest normal number are denormal, not zero (sigmoid is
// zero where exp(-x) is infinite, as torch's).
// erf, sin and cos are the C library's, lane by lane.
#pragma once
#include "vector.h"

namespace {

// Adding it rounds to an integer, which then stands in the lowest bits.
INLINE Floats rounder(Floats) { return all(12582912.f); }                  // 1.5 * 2^23
INLINE Doubles rounder(Doubles) { return all(6755399441055744.); }         // 1.5 * 2^52
INLINE Floats integer_to_number(Bits<float> n) { return from_bits(n + bits(rounder(Floats{}))) - rounder(Floats{}); }
INLINE Doubles integer_to_number(Bits<double> n) {
  return from_bits(n + bits(rounder(Doubles{}))) - rounder(Doubles{});
}
INLINE Floats power_of_two(Bits<float> n) { return from_bits((n + 127) << 23); }
INLINE Doubles power_of_two(Bits<double> n) { return from_bits((n + 1023) << 52); }

// p * 2^n, in two steps, because 2^n alone may be too large or too small for a normal number.
#if VECTOR_BYTES == 64
INLINE Floats scaled(Floats p, Floats shifted) {
  return (Floats)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)(shifted - rounder(p)));
}
INLINE Doubles scaled(Doubles p, Doubles shifted) {
  return (Doubles)_mm512_maskz_scalef_pd(0xff, (__m512d)p, (__m512d)(shifted - rounder(p)));
}
#else
template <class V> INLINE V scaled(V p, V shifted) {
  auto biased = bits(shifted) - bits(rounder(p)) + 2048;  // positive, so that a shift halves it
  auto half = (biased >> 1) - 1024;
  return p * power_of_two(half) * power_of_two(biased - 2048 - half);
}
#endif

template <class V> struct Reduced { V r, shifted, n; };  // x = n ln 2 + r, |r| <= ln 2 / 2

INLINE Reduced<Floats> reduce(Floats x) {
  Floats shifted = x * 1.44269504f + rounder(x), n = shifted - rounder(x);
  return {(x - n * 0.693359375f) + n * 2.12194440e-4f, shifted, n};
}
INLINE Reduced<Doubles> reduce(Doubles x) {
  Doubles shifted = x * 1.4426950408889634 + rounder(x), n = shifted - rounder(x);
  return {(x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10, shifted, n};
}

// (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2. Float: S. Moshier's Cephes; double: the Taylor series.
INLINE Floats exp_tail(Floats r) {
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  return p * r + 5.0000001201e-1f;
}
INLINE Doubles exp_tail(Doubles r) {
  Doubles p = r * (1 / 6227020800.) + 1 / 479001600.;
  p = p * r + 1 / 39916800.;
  p = p * r + 1 / 3628800.;
  p = p * r + 1 / 362880.;
  p = p * r + 1 / 40320.;
  p = p * r + 1 / 5040.;
  p = p * r + 1 / 720.;
  p = p * r + 1 / 120.;
  p = p * r + 1 / 24.;
  p = p * r + 1 / 6.;
  return p * r + 0.5;
}

// Beyond these exp is infinite, or zero; expm1 is infinite, or -1.
INLINE Floats clamp_exponent(Floats x) { x = x > 89.f ? all(89.f) : x; return x < -105.f ? all(-105.f) : x; }
INLINE Doubles clamp_exponent(Doubles x) { x = x > 710. ? all(710.) : x; return x < -746. ? all(-746.) : x; }

template <class V> INLINE V exponential(V x) {
  Reduced<V> e = reduce(clamp_exponent(x));
  return scaled(e.r + e.r * e.r * exp_tail(e.r) + 1, e.shifted);
}

// 2 (2^(n-1) (exp(r) - 1) + (2^(n-1) - 1/2)): exact where n = 0, and 2^(n-1) is finite where the result is.
template <class V> INLINE V exponential_minus_1(V x) {
  V y = clamp_exponent(x);
  Reduced<V> e = reduce(y);
  V half = scaled(all<decltype(y[0] + 0)>(1) * 0.5f, e.shifted);
  V result = (half * (e.r + e.r * e.r * exp_tail(e.r)) + (half - 0.5f)) * 2;
  return (magnitude(x) < 1e-30f) ? x : result;
}

template <class V> INLINE V logistic(V x) { return 1 / (1 + exponential(-x)); }

// 1 - 2 / (exp(2 |x|) + 1), and for |x| < 0.625, where that cancels, x + x^3 P(x^2) (S. Moshier's Cephes).
INLINE Floats hyperbolic_tangent(Floats x) {
  Floats size = magnitude(x), z = x * x;
  Floats p = z * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * z + -5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z + -3.33332819422e-1f;
  Floats large = 1 - 2 / (exponential(size + size) + 1);
  return size < 0.625f ? p * z * x + x : from_bits(bits(large) | sign_bit(x));
}
INLINE Doubles hyperbolic_tangent(Doubles x) {
  Doubles size = magnitude(x), z = x * x;
  Doubles p = (z * -9.64399179425052238628e-1 + -9.92877231001918586564e1) * z + -1.61468768441708447952e3;
  Doubles q = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3;
  auto small = size < 0.625;
  Doubles quotient = (small ? z * p : all(-2.)) / (small ? q : exponential(size + size) + 1);  // one division for both
  return small ? x + x * quotient : from_bits(bits(1 + quotient) | sign_bit(x));
}

// log(2^k (1 + f)), sqrt(1/2) < 1 + f < sqrt(2), with s = f / (2 + f) (FreeBSD's msun, e_log.c and e_logf.c).
INLINE Floats log_series(Floats z) {
  return z * (0.66666662693f + z * (0.40000972152f + z * (0.28498786688f + z * 0.24279078841f)));
}
INLINE Doubles log_series(Doubles z) {
  return z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * (2.857142874366239149e-01
       + z * (2.222219843214978396e-01 + z * (1.818357216161805012e-01 + z * (1.531383769920937332e-01
       + z * 1.479819860511658591e-01))))));
}
struct FloatLog {
  static constexpr float smallest = 0x1p-126f, scale = 0x1p25f;              // normal numbers, and to them
  static constexpr float high = 6.9313812256e-01f, low = 9.0580006145e-06f;  // ln 2
  static constexpr uint32_t shift = 23, lift = 25, bias = 127;
  static constexpr uint32_t one = 0x3f800000u, root = 0x3f3504f3u, mantissa = 0x7fffffu;  // 1 and sqrt(1/2), as bits
};
struct DoubleLog {
  static constexpr double smallest = 0x1p-1022, scale = 0x1p54;
  static constexpr double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
  static constexpr uint64_t shift = 52, lift = 54, bias = 1023;
  static constexpr uint64_t one = 0x3ff0000000000000u, root = 0x3fe6a09e00000000u, mantissa = 0xfffffffffffffu;
};

template <class C, class V> INLINE V logarithm_by(V x) {
  auto denormal = x < C::smallest;
  auto i = bits(denormal ? x * C::scale : x) + (C::one - C::root);
  auto k = (i >> C::shift) - C::bias - ((decltype(i))denormal & C::lift);
  V f = from_bits((i & C::mantissa) + C::root) - 1, n = integer_to_number(k), s = f / (2 + f), half = f * f * 0.5f;
  V result = n * C::high - ((half - (s * (half + log_series(s * s)) + n * C::low)) - f);
  result = x > 0 ? result : (x == 0 ? -1 / magnitude(x) : (x - x) / (x - x));
  return x - x == 0 ? result : (x < 0 ? (x - x) : x);  // log of infinity and of NaN are they
}
INLINE Floats logarithm(Floats x) { return logarithm_by<FloatLog>(x); }
INLINE Doubles logarithm(Doubles x) { return logarithm_by<DoubleLog>(x); }

// With u the rounded 1 + x: log(u) and a correction for what rounding lost.
template <class V> INLINE V logarithm_of_1_plus(V x) {
  V u = 1 + x, result = logarithm(u) - ((u - 1) - x) / u;
  return (u == 0) | (u - u != 0) ? logarithm(u) : result;
}

// As torch's, which is x itself above 20.
template <class V> INLINE V softplus(V x) { return x > 20 ? x : logarithm_of_1_plus(exponential(x)); }

INLINE Floats lane_by_lane(Floats x, float (*f)(float)) {
  for (int l = 0; l < LANES<float>; l++) x[l] = f(x[l]);
  return x;
}
INLINE Doubles lane_by_lane(Doubles x, double (*f)(double)) {
  for (int l = 0; l < LANES<double>; l++) x[l] = f(x[l]);
  return x;
}
INLINE Floats sine(Floats x) { return lane_by_lane(x, __builtin_sinf); }
INLINE Doubles sine(Doubles x) { return lane_by_lane(x, __builtin_sin); }
INLINE Floats cosine(Floats x) { return lane_by_lane(x, __builtin_cosf); }
INLINE Doubles cosine(Doubles x) { return lane_by_lane(x, __builtin_cos); }
INLINE Floats error_function(Floats x) { return lane_by_lane(x, __builtin_erff); }
INLINE Doubles error_function(Doubles x) { return lane_by_lane(x, __builtin_erf); }

}  // namespace
