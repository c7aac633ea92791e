// Vectors of VECTOR_BYTES bytes of float or double, by the vector extensions of GCC and Clang: one source for AVX-512
// (64), AVX2 (32) and the 16 bytes that every processor has. Everything is internal to the file that includes this.
#pragma once
#include <stdint.h>
#if VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#pragma STDC FP_CONTRACT ON
#endif

namespace {

template <class T> struct Types;
template <> struct Types<float> {
  typedef float Vector __attribute__((vector_size(VECTOR_BYTES)));
  typedef float Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};
template <> struct Types<double> {
  typedef double Vector __attribute__((vector_size(VECTOR_BYTES)));
  typedef double Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
  typedef uint64_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T> using Vector = typename Types<T>::Vector;
template <class T> using Bits = typename Types<T>::Bits;
typedef Vector<float> Floats;
typedef Vector<double> Doubles;

template <class T> constexpr int LANES = VECTOR_BYTES / (int)sizeof(T);

// x - 0 rather than 0 + x, which would lose the sign of -0; compiled to a broadcast.
template <class T> INLINE Vector<T> all(T x) { return x - Vector<T>{}; }
template <class T> INLINE Vector<T> load(const T* p) { return *(const typename Types<T>::Unaligned*)p; }
template <class T> INLINE void store(T* p, Vector<T> v) { *(typename Types<T>::Unaligned*)p = v; }

// The first n lanes (1 to LANES) of memory; the others are zero, and memory beyond is not touched.
#if VECTOR_BYTES == 64
INLINE __mmask16 first_lanes(const float*, int n) { return (__mmask16)((1u << n) - 1); }
INLINE __mmask8 first_lanes(const double*, int n) { return (__mmask8)((1u << n) - 1); }
INLINE Floats load(const float* p, int n) { return (Floats)_mm512_maskz_loadu_ps(first_lanes(p, n), p); }
INLINE Doubles load(const double* p, int n) { return (Doubles)_mm512_maskz_loadu_pd(first_lanes(p, n), p); }
INLINE void store(float* p, Floats v, int n) { _mm512_mask_storeu_ps(p, first_lanes(p, n), (__m512)v); }
INLINE void store(double* p, Doubles v, int n) { _mm512_mask_storeu_pd(p, first_lanes(p, n), (__m512d)v); }
INLINE Floats square_root(Floats x) { return (Floats)_mm512_maskz_sqrt_ps(0xffff, (__m512)x); }
INLINE Doubles square_root(Doubles x) { return (Doubles)_mm512_maskz_sqrt_pd(0xff, (__m512d)x); }
#elif VECTOR_BYTES == 32
INLINE __m256i first_lanes(const float*, int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE __m256i first_lanes(const double*, int n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
INLINE Floats load(const float* p, int n) { return (Floats)_mm256_maskload_ps(p, first_lanes(p, n)); }
INLINE Doubles load(const double* p, int n) { return (Doubles)_mm256_maskload_pd(p, first_lanes(p, n)); }
INLINE void store(float* p, Floats v, int n) { _mm256_maskstore_ps(p, first_lanes(p, n), (__m256)v); }
INLINE void store(double* p, Doubles v, int n) { _mm256_maskstore_pd(p, first_lanes(p, n), (__m256d)v); }
INLINE Floats square_root(Floats x) { return (Floats)_mm256_sqrt_ps((__m256)x); }
INLINE Doubles square_root(Doubles x) { return (Doubles)_mm256_sqrt_pd((__m256d)x); }
#else
template <class T> INLINE Vector<T> load(const T* p, int n) {
  Vector<T> v = {};
  for (int l = 0; l < LANES<T>; l++)
    if (l < n) v[l] = p[l];
  return v;
}
template <class T> INLINE void store(T* p, Vector<T> v, int n) {
  for (int l = 0; l < LANES<T>; l++)
    if (l < n) p[l] = v[l];
}
#ifdef __SSE2__
INLINE Floats square_root(Floats x) { return (Floats)_mm_sqrt_ps((__m128)x); }
INLINE Doubles square_root(Doubles x) { return (Doubles)_mm_sqrt_pd((__m128d)x); }
#else
INLINE Floats square_root(Floats x) {
  for (int l = 0; l < LANES<float>; l++) x[l] = __builtin_sqrtf(x[l]);
  return x;
}
INLINE Doubles square_root(Doubles x) {
  for (int l = 0; l < LANES<double>; l++) x[l] = __builtin_sqrt(x[l]);
  return x;
}
#endif
#endif

template <class T> INLINE T sum_of_lanes(Vector<T> v) {
  T sum = 0;
  for (int l = 0; l < LANES<T>; l++) sum += v[l];
  return sum;
}

INLINE Bits<float> bits(Floats x) { return (Bits<float>)x; }
INLINE Bits<double> bits(Doubles x) { return (Bits<double>)x; }
INLINE Floats from_bits(Bits<float> x) { return (Floats)x; }
INLINE Doubles from_bits(Bits<double> x) { return (Doubles)x; }
INLINE Bits<float> sign_bit(Floats x) { return bits(x) & 0x80000000u; }
INLINE Bits<double> sign_bit(Doubles x) { return bits(x) & 0x8000000000000000u; }
template <class V> INLINE V magnitude(V x) { return from_bits(bits(x) ^ sign_bit(x)); }
template <class V> INLINE V negative(V x) { return -x; }

// NaN travels: the first of two, else the second.
template <class V> INLINE V maximum(V a, V b) { return (a > b) | (a != a) ? a : b; }
template <class V> INLINE V minimum(V a, V b) { return (a < b) | (a != a) ? a : b; }

}  // namespace
