// Building the lattice. This file is compiled once, for the plainest processor.

#include "lattice.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "vertex_table.hpp"

namespace sbnet {
namespace {

constexpr char too_fine[] = "a deviation (sxy, srgb) is too small for an image of this size; take a larger one, or a smaller image";

template <int D>
void set_scale(PixelGrid& grid) {
    const auto deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));
    for (int i = 0; i < D; ++i)
        grid.scale[i] = static_cast<float>(1.0 / std::sqrt(double((i + 2) * (i + 1))) * deviation);
}

// From a bound on the absolute value of every coordinate.
template <int D>
void set_reach(PixelGrid& grid) {
    float bound = 0;
    for (int i = 0; i < D; ++i) {
        const float largest = i == 0 ? grid.columns / grid.sxy : i == 1 ? grid.rows / grid.sxy : 255.0f / grid.srgb;
        bound += (i + 1) * largest * grid.scale[i];
    }
    if (!(bound < 1e6f)) throw std::invalid_argument(too_fine);  // beyond it simplices would be rounded
    grid.reach = static_cast<int>(std::ceil(bound / (D + 1))) + 4;  // rounding, step back, neighbour
    if (2 * int64_t{grid.reach} + 1 > int64_t{1} << digit_bits<D>) throw std::invalid_argument(too_fine);
}

// The neighbour along an axis lies at -1 in every coordinate but the axis' own, which is at +D.
template <int D>
uint64_t neighbour(uint64_t key, int axis) {
    constexpr uint64_t remainder = (1u << remainder_bits) - 1;
    if (key & remainder) return key + key_step<D>(axis) - 1;
    uint64_t others = 0;
    for (int i = 0; i < D; ++i) others += i == axis ? 0 : key_step<D>(i);
    return key + D - others;
}

}  // namespace

float slice_factor(int dimensions) {
    return 1.0f / (1.0f + std::pow(2.0f, -static_cast<float>(dimensions)));
}

Lattice::Lattice(int64_t rows, int64_t columns, float sxy, SimplexFunction simplices)
    : points(rows * columns), dimensions(2) {
    build<2>({nullptr, rows, columns, sxy, 1.0f, {}, 0}, simplices);
}

Lattice::Lattice(const uint8_t* image, int64_t rows, int64_t columns, float sxy, float srgb,
                 SimplexFunction simplices)
    : points(rows * columns), dimensions(5) {
    build<5>({image, rows, columns, sxy, srgb, {}, 0}, simplices);
}

template <int D>
void Lattice::build(PixelGrid grid, SimplexFunction simplices) {
    set_scale<D>(grid);
    set_reach<D>(grid);
    constexpr int tile_size = (D + 1) * tile_points;
    const int64_t tiles = tile_count(points);
    corners = Buffer<int32_t>(tiles * tile_size);
    weights = Buffer<float>(tiles * tile_size);
    VertexTable table;
    std::array<uint64_t, tile_size> keys;
    for (int64_t tile = 0; tile < tiles; ++tile) {
        int32_t* corner = corners.get() + tile * tile_size;
        float* weight = weights.get() + tile * tile_size;
        simplices(grid, tile * tile_points, keys.data(), weight);
        const auto count = static_cast<int>(std::min<int64_t>(tile_points, points - tile * tile_points));
        for (int p = 0; p < count; ++p)
            for (int r = 0; r <= D; ++r)
                corner[r * tile_points + p] = table.find_or_add(keys[r * tile_points + p]);
        for (int p = count; p < tile_points; ++p)
            for (int r = 0; r <= D; ++r) {
                corner[r * tile_points + p] = 0;
                weight[r * tile_points + p] = 0;
            }
    }
    vertices = table.vertices();
    neighbours.assign(size_t{D + 1} * (vertices + 1) * 2, 0);
    for (int axis = 0; axis <= D; ++axis) {
        int32_t* pair = neighbours.data() + size_t(axis) * (vertices + 1) * 2;
        for (int32_t v = 1; v <= vertices; ++v) {
            const int32_t other = table.find(neighbour<D>(table.key(v), axis));
            if (!other) continue;
            pair[2 * v] = other;
            pair[2 * other + 1] = v;
        }
    }
    normalize<D>();
}

// Folds 1 / sqrt(filter(1) + 1e-20) into the weights, which are used on both sides of the blur.
template <int D>
void Lattice::normalize() {
    constexpr int tile_size = (D + 1) * tile_points;
    const int64_t size = tile_count(points) * tile_size;
    std::vector<float> value(vertices + 1, 0.0f), blurred(vertices + 1, 0.0f);
    for (int64_t tile = 0; tile < size; tile += tile_size)
        for (int p = 0; p < tile_points; ++p)
            for (int r = 0; r <= D; ++r) {
                const int64_t i = tile + r * tile_points + p;
                value[corners.get()[i]] += weights.get()[i];
            }
    for (int axis = 0; axis <= D; ++axis) {
        const int32_t* pair = neighbours.data() + size_t(axis) * (vertices + 1) * 2;
        for (int32_t v = 1; v <= vertices; ++v)
            blurred[v] = value[v] + 0.5f * (value[pair[2 * v]] + value[pair[2 * v + 1]]);
        value.swap(blurred);
    }
    const float factor = slice_factor(D);
    for (int64_t tile = 0; tile < size; tile += tile_size) {
        const int32_t* corner = corners.get() + tile;
        float* weight = weights.get() + tile;
        std::array<float, tile_points> norm{};
        for (int r = 0; r <= D; ++r)
            for (int p = 0; p < tile_points; ++p)
                norm[p] += weight[r * tile_points + p] * factor * value[corner[r * tile_points + p]];
        for (float& x : norm) x = 1.0f / std::sqrt(x + 1e-20f);
        for (int r = 0; r <= D; ++r)
            for (int p = 0; p < tile_points; ++p) weight[r * tile_points + p] *= norm[p];
    }
}

}  // namespace sbnet
