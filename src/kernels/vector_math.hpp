// Vectors of floats for mean_field.cpp and simplex.cpp; the same rule holds here: nothing of the standard library's templates.
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

// Two vectors' lanes, numbered 0 to 15, in an order known at compile time.
#ifdef __clang__
#define SBNET_SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SBNET_SHUFFLE(x, y, ...) __builtin_shuffle(x, y, IntVector{__VA_ARGS__})
#endif

// Eight vectors as the rows of a square matrix, transposed: pairs, squares of four, then the halves of eight.
inline void transpose(Vector (&x)[vector_lanes]) {
    Vector pairs[vector_lanes], fours[vector_lanes];
    for (int i = 0; i < vector_lanes; i += 2) {
        pairs[i] = SBNET_SHUFFLE(x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        pairs[i + 1] = SBNET_SHUFFLE(x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < vector_lanes; i += 4)
        for (int j = 0; j < 2; ++j) {
            fours[i + 2 * j] = SBNET_SHUFFLE(pairs[i + j], pairs[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            fours[i + 2 * j + 1] = SBNET_SHUFFLE(pairs[i + j], pairs[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; ++i) {
        x[i] = SBNET_SHUFFLE(fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = SBNET_SHUFFLE(fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

#undef SBNET_SHUFFLE

}  // namespace
}  // namespace sbnet
