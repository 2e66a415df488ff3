// Vectors of floats for mean_field.cpp; the same rule holds here: nothing of the standard library's templates.
#pragma once

#include <stdint.h>

#include "mean_field.hpp"

namespace sbnet {
namespace {

// Lanes of the vector units, as GCC and Clang spell them for every processor.
typedef float Vector __attribute__((vector_size(4 * vector_lanes), may_alias));
typedef int32_t IntVector __attribute__((vector_size(4 * vector_lanes), may_alias));

inline Vector broadcast(float x) { return Vector{} + x; }

// e^x for x <= 0 within 2e-7 relative: x = n ln 2 + r, a polynomial in r, n into the exponent. Cut at e^-64,
// so that no product downstream is a (slow) denormal number.
inline Vector exp_nonpositive(Vector x) {
    constexpr float to_integer = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    const Vector smallest = broadcast(-64.0f);
    x = x < smallest ? smallest : x;
    const Vector n = (x * 1.44269504f + to_integer) - to_integer;
    const Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln 2 in two parts
    Vector p = r * (1.0f / 720.0f) + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const IntVector power = (__builtin_convertvector(n, IntVector) + 127) << 23;
    return p * reinterpret_cast<const Vector&>(power);
}

// log of a probability, cut to [1e-5, 1], within 2e-7: x = m 2^n with m in [sqrt 1/2, sqrt 2), a polynomial in m - 1.
inline Vector log_of_probability(Vector x) {
    x = x > 1e-5f ? x : broadcast(1e-5f);
    x = x < 1.0f ? x : broadcast(1.0f);
    const IntVector bits = reinterpret_cast<const IntVector&>(x) - 0x3f3504f3;  // the bits of sqrt 1/2
    const Vector n = __builtin_convertvector(bits >> 23, Vector);
    const IntVector mantissa = (bits & 0x007fffff) + 0x3f3504f3;
    const Vector r = reinterpret_cast<const Vector&>(mantissa) - 1.0f;
    Vector p = r * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    const Vector square = r * r;
    return r + (p * r * square - 0.5f * square + n * -2.12194440e-4f) + n * 0.693359375f;
}

// Lanes exchanged with those 1, 2 or 4 away.
template <int DISTANCE>
inline Vector exchange(Vector x) {
#ifdef __clang__
    if (DISTANCE == 1) return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
    if (DISTANCE == 2) return __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
    return __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
#else
    return __builtin_shuffle(x, IntVector{0, 1, 2, 3, 4, 5, 6, 7} ^ DISTANCE);
#endif
}

inline Vector larger(Vector x, Vector y) { return x > y ? x : y; }

// The largest and the sum of each GROUP of lanes (2, 4 or 8), in all of its lanes.
template <int GROUP>
inline Vector group_max(Vector x) {
    x = larger(x, exchange<1>(x));
    if (GROUP > 2) x = larger(x, exchange<2>(x));
    if (GROUP > 4) x = larger(x, exchange<4>(x));
    return x;
}

template <int GROUP>
inline Vector group_sum(Vector x) {
    x += exchange<1>(x);
    if (GROUP > 2) x += exchange<2>(x);
    if (GROUP > 4) x += exchange<4>(x);
    return x;
}

}  // namespace
}  // namespace sbnet
