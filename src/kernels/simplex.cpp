// Compiled once per instruction set, under the name SBNET_SIMPLICES, without contraction to fused multiply-adds, as all kernels:
// which simplex a point falls into must not depend on the machine. Nothing here may come from the standard library's
// templates: the linker could give a plain processor a copy that was compiled for a newer one.

#include "simplex.hpp"

#include <string.h>

#include "vector_math.hpp"

namespace sbnet {
namespace {

// To the nearest whole number, ties to even, for numbers below 2^22: in float32 there is no room for a fraction.
inline Vector round_to_whole(Vector x) {
    constexpr float shift = 12582912.0f;  // 1.5 * 2^23
    return (x + shift) - shift;
}

inline Vector masked(IntVector mask, Vector x) {
    const IntVector bits = mask & reinterpret_cast<const IntVector&>(x);
    return reinterpret_cast<const Vector&>(bits);
}

template <int D>
struct Features {
    Vector of[D];

    // Of the points from `start` on.
    Features(const PixelGrid& grid, int64_t start) {
        float values[D][vector_lanes];
        int64_t x = start % grid.columns, y = start / grid.columns;
        for (int p = 0; p < vector_lanes; ++p) {
            values[0][p] = static_cast<float>(x);
            values[1][p] = static_cast<float>(y);
            for (int i = 2; i < D; ++i)
                values[i][p] = static_cast<float>(grid.image[3 * (y * grid.columns + x) + i - 2]);
            if (x + 1 < grid.columns) {
                ++x;
            } else if (y + 1 < grid.rows) {
                ++y;
                x = 0;
            }
        }
        memcpy(of, values, sizeof(of));
        for (int i = 0; i < D; ++i) of[i] /= i < 2 ? grid.sxy : grid.srgb;
    }
};

// The simplices around vector_lanes points: the remainder-0 vertex as multiples of D + 1, and the coordinates sorted
// by their distance from it, the furthest first.
template <int D>
struct Simplices {
    IntVector multiple[D + 1];
    IntVector by_rank[D + 1];  // coordinate
    Vector barycentric[D + 1];

    Simplices(const PixelGrid& grid, const Features<D>& features) {
        constexpr float inverse = 1.0f / (D + 1);
        Vector elevated[D + 1], offset[D + 1], sum{};
        for (int i = D; i > 0; --i) {
            const Vector scaled = features.of[i - 1] * grid.scale[i - 1];
            elevated[i] = sum - static_cast<float>(i) * scaled;
            sum += scaled;
        }
        elevated[0] = sum;
        IntVector rank[D + 1] = {}, beyond{};  // beyond: how far the rounded point lies from the plane
        for (int i = 0; i <= D; ++i) {
            const Vector whole = round_to_whole(elevated[i] * inverse);
            offset[i] = elevated[i] - whole * static_cast<float>(D + 1);
            multiple[i] = __builtin_convertvector(whole, IntVector);
            beyond += multiple[i];
        }
        for (int i = 0; i < D; ++i)
            for (int j = i + 1; j <= D; ++j) {
                const IntVector behind = offset[i] < offset[j];  // -1 where it is so
                rank[i] -= behind;
                rank[j] += 1 + behind;
            }
        Vector share[D + 1], sorted[D + 1] = {};
        for (int i = 0; i <= D; ++i) {
            by_rank[i] = IntVector{};
            // The coordinates rounded furthest step back into the plane.
            rank[i] += beyond;
            const IntVector step = (rank[i] > D) - (rank[i] < 0);
            rank[i] += step * (D + 1);
            multiple[i] += step;
            const Vector nearest = __builtin_convertvector(multiple[i] * (D + 1), Vector);
            share[i] = (elevated[i] - nearest) * inverse;
        }
        for (int k = 0; k <= D; ++k)
            for (int i = 0; i <= D; ++i) {
                const IntVector here = rank[i] == k;
                by_rank[k] |= here & i;
                sorted[k] += masked(here, share[i]);
            }
        barycentric[0] = sorted[D] + (1.0f - sorted[0]);
        for (int r = 1; r <= D; ++r) barycentric[r] = sorted[D - r] - sorted[D + 1 - r];
    }
};

template <int D>
void simplices(const PixelGrid& grid, int64_t start, uint64_t* keys, float* weights) {
    constexpr uint64_t steps[] = {key_step<D>(0), key_step<D>(1), key_step<D>(2),
                                  key_step<D>(3), key_step<D>(4), key_step<D>(5)};
    for (int block = 0; block < tile_points; block += vector_lanes) {
        const int64_t last = grid.rows * grid.columns - 1, first = start + block;
        const Simplices<D> found(grid, Features<D>(grid, first < last ? first : last));
        const int32_t* multiple = reinterpret_cast<const int32_t*>(found.multiple);
        const int32_t* by_rank = reinterpret_cast<const int32_t*>(found.by_rank);
        for (int p = 0; p < vector_lanes; ++p) {
            uint64_t key = 0;
            for (int i = 0; i < D; ++i)
                key += static_cast<uint64_t>(multiple[i * vector_lanes + p] + grid.reach) * steps[i];
            for (int r = 0; r <= D; ++r) {
                keys[r * tile_points + block + p] = key;
                key += 1 - steps[by_rank[(D - r) * vector_lanes + p]];
            }
        }
        for (int r = 0; r <= D; ++r)
            memcpy(weights + r * tile_points + block, &found.barycentric[r], sizeof(Vector));
    }
}

}  // namespace

void SBNET_SIMPLICES(const PixelGrid& grid, int64_t start, uint64_t* keys, float* weights) {
    if (grid.image)
        simplices<5>(grid, start, keys, weights);
    else
        simplices<2>(grid, start, keys, weights);
}

}  // namespace sbnet
