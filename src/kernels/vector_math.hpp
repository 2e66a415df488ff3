// Vectors of floats for mean_field.cpp; the same rule holds here: nothing of the standard library's templates.
#pragma once

#include <stdint.h>
#include <string.h>

#include "mean_field.hpp"

namespace sbnet {
namespace {

// Lanes of the vector units, as GCC and Clang spell them for every processor.
typedef float Vector __attribute__((vector_size(4 * vector_lanes), may_alias));
typedef float HalfVector __attribute__((vector_size(2 * vector_lanes), may_alias));
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

inline HalfVector half(Vector x, int which) {
    HalfVector result;
    memcpy(&result, reinterpret_cast<const char*>(&x) + which * sizeof result, sizeof result);
    return result;
}

inline float reduce_max(Vector x) {
    const HalfVector low = half(x, 0), high = half(x, 1);
    const HalfVector y = low > high ? low : high;
    const float first = y[0] > y[1] ? y[0] : y[1], second = y[2] > y[3] ? y[2] : y[3];
    return first > second ? first : second;
}

inline float reduce_sum(Vector x) {
    const HalfVector y = half(x, 0) + half(x, 1);
    return (y[0] + y[1]) + (y[2] + y[3]);
}

}  // namespace
}  // namespace sbnet
