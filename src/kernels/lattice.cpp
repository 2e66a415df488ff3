// Building the lattice. This file is compiled once, for the plainest processor and without contraction to
// fused multiply-add: which simplex a point falls into must not depend on the machine.

#include "lattice.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "vertex_table.hpp"

namespace sbnet {
namespace {

constexpr char too_fine[] = "a deviation (sxy, srgb) is too small for an image of this size";

// A feature vector to its D + 1 coordinates in the plane of the lattice.
template <int D>
class Elevation {
public:
    Elevation() {
        const auto deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));
        for (int i = 0; i < D; ++i)
            scale_[i] = static_cast<float>(1.0 / std::sqrt(double((i + 2) * (i + 1))) * deviation);
    }

    std::array<float, D + 1> operator()(const std::array<float, D>& feature) const {
        std::array<float, D + 1> elevated;
        float sum = 0;
        for (int i = D; i > 0; --i) {
            const float scaled = feature[i - 1] * scale_[i - 1];
            elevated[i] = sum - i * scaled;
            sum += scaled;
        }
        elevated[0] = sum;
        return elevated;
    }

    // A bound on the absolute value of every coordinate.
    float bound(const std::array<float, D>& largest) const {
        float sum = 0;
        for (int i = 0; i < D; ++i) sum += (i + 1) * largest[i] * scale_[i];
        return sum;
    }

private:
    std::array<float, D> scale_;
};

// The simplex around a point: its remainder-0 vertex as multiples of D + 1, and the coordinates sorted by
// their distance from it.
template <int D>
struct Simplex {
    std::array<int, D + 1> multiple;
    std::array<int, D + 1> by_rank;
    std::array<float, D + 2> barycentric;

    explicit Simplex(const std::array<float, D + 1>& elevated) {
        constexpr float inverse = 1.0f / (D + 1);
        std::array<float, D + 1> offset;
        std::array<int, D + 1> rank{};
        int sum = 0;
        for (int i = 0; i <= D; ++i) {
            multiple[i] = static_cast<int>(std::lrint(elevated[i] * inverse));  // ties to even
            offset[i] = elevated[i] - static_cast<float>(multiple[i] * (D + 1));
            sum += multiple[i];
        }
        for (int i = 0; i < D; ++i)
            for (int j = i + 1; j <= D; ++j) {
                const int behind = offset[i] < offset[j];
                rank[i] += behind;
                rank[j] += 1 - behind;
            }
        // A rounded point need not lie in the plane: the coordinates rounded furthest step back into it.
        for (int i = 0; i <= D; ++i) {
            rank[i] += sum;
            const int step = rank[i] < 0 ? 1 : rank[i] > D ? -1 : 0;
            rank[i] += step * (D + 1);
            multiple[i] += step;
            by_rank[rank[i]] = i;
        }
        barycentric.fill(0);
        for (int i = 0; i <= D; ++i) {
            const float share = (elevated[i] - static_cast<float>(multiple[i] * (D + 1))) * inverse;
            barycentric[D - rank[i]] += share;
            barycentric[D + 1 - rank[i]] -= share;
        }
        barycentric[0] += 1.0f + barycentric[D + 1];
    }
};

// A vertex as one number. All coordinates of a vertex have the same remainder r modulo D + 1, and the last
// one follows from the others: key = r + (D + 1) * (their multiples as digits of one number).
template <int D>
struct Keys {
    std::array<uint64_t, D + 1> step{};  // of the key, per multiple of coordinate i; 0 for the last one
    std::array<uint64_t, D + 1> previous_wrapped{}, previous_plain{};
    int64_t reach;

    explicit Keys(float bound) {
        reach = static_cast<int64_t>(std::ceil(bound / (D + 1))) + 4;  // rounding, step back, neighbour
        const auto digits = static_cast<uint64_t>(2 * reach + 1);
        uint64_t unit = D + 1, all = 0;
        for (int i = 0; i < D; ++i) {
            step[i] = unit;
            all += unit;
            if (unit > std::numeric_limits<uint64_t>::max() / digits)
                throw std::invalid_argument(too_fine);
            unit *= digits;
        }
        // The neighbour along axis j lies at -1 in every coordinate but the j-th, which is at +D.
        for (int j = 0; j <= D; ++j) {
            previous_plain[j] = step[j] - 1;
            previous_wrapped[j] = D - (all - step[j]);
        }
    }

    uint64_t of_remainder_zero(const std::array<int, D + 1>& multiple) const {
        uint64_t key = 0;
        for (int i = 0; i < D; ++i) key += static_cast<uint64_t>(multiple[i] + reach) * step[i];
        return key;
    }

    uint64_t neighbour(uint64_t key, int axis) const {
        return key + (key % (D + 1) ? previous_plain[axis] : previous_wrapped[axis]);
    }
};

}  // namespace

// Features of an image's pixels: their place, and in five dimensions their colour.
template <int D>
struct Pixels {
    const uint8_t* image;
    int64_t rows, columns;
    float sxy, srgb;

    std::array<float, D> operator[](int64_t point) const {
        std::array<float, D> feature;
        feature[0] = static_cast<float>(point % columns) / sxy;
        feature[1] = static_cast<float>(point / columns) / sxy;
        for (int i = 2; i < D; ++i) feature[i] = static_cast<float>(image[3 * point + i - 2]) / srgb;
        return feature;
    }

    std::array<float, D> largest() const {
        std::array<float, D> largest;
        largest.fill(255.0f / srgb);
        largest[0] = static_cast<float>(columns) / sxy;
        largest[1] = static_cast<float>(rows) / sxy;
        return largest;
    }
};

float slice_factor(int dimensions) {
    return 1.0f / (1.0f + std::pow(2.0f, -static_cast<float>(dimensions)));
}

Lattice::Lattice(int64_t rows, int64_t columns, float sxy) : points(rows * columns), dimensions(2) {
    build<2>(Pixels<2>{nullptr, rows, columns, sxy, 1.0f});
}

Lattice::Lattice(const uint8_t* image, int64_t rows, int64_t columns, float sxy, float srgb)
    : points(rows * columns), dimensions(5) {
    build<5>(Pixels<5>{image, rows, columns, sxy, srgb});
}

template <int D>
void Lattice::build(const Pixels<D>& features) {
    const Elevation<D> elevate;
    const float bound = elevate.bound(features.largest());
    if (!(bound < 1e6f)) throw std::invalid_argument(too_fine);
    const Keys<D> keys(bound);
    VertexTable table;
    corners.reset(new int32_t[points * (D + 1)]);
    weights.reset(new float[points * (D + 1)]);
    std::array<uint64_t, D + 1> previous;
    previous.fill(std::numeric_limits<uint64_t>::max());
    std::array<int32_t, D + 1> vertex{};
    for (int64_t p = 0; p < points; ++p) {
        const Simplex<D> simplex(elevate(features[p]));
        uint64_t key = keys.of_remainder_zero(simplex.multiple);
        for (int r = 0; r <= D; ++r) {
            if (key != previous[r]) {  // often equal: the pixel to the left lies in the same simplex
                previous[r] = key;
                vertex[r] = table.find_or_add(key);
            }
            corners[p * (D + 1) + r] = vertex[r];
            weights[p * (D + 1) + r] = simplex.barycentric[r];
            key += 1 - keys.step[simplex.by_rank[D - r]];
        }
    }
    vertices = static_cast<int32_t>(table.keys.size());
    neighbours.assign(size_t{D + 1} * (vertices + 1) * 2, 0);
    for (int axis = 0; axis <= D; ++axis) {
        int32_t* pair = neighbours.data() + size_t(axis) * (vertices + 1) * 2;
        for (int32_t v = 1; v <= vertices; ++v) {
            const int32_t other = table.find(keys.neighbour(table.keys[v - 1], axis));
            if (!other) continue;
            pair[2 * v] = other;
            pair[2 * other + 1] = v;
        }
    }
    normalize();
}

// Folds 1 / sqrt(filter(1) + 1e-20) into the weights, which are used on both sides of the blur.
void Lattice::normalize() {
    const int corner_count = dimensions + 1;
    std::vector<float> value(vertices + 1, 0.0f), blurred(vertices + 1, 0.0f);
    for (int64_t i = 0; i < points * corner_count; ++i) value[corners[i]] += weights[i];
    for (int axis = 0; axis < corner_count; ++axis) {
        const int32_t* pair = neighbours.data() + size_t(axis) * (vertices + 1) * 2;
        for (int32_t v = 1; v <= vertices; ++v)
            blurred[v] = value[v] + 0.5f * (value[pair[2 * v]] + value[pair[2 * v + 1]]);
        value.swap(blurred);
    }
    const float factor = slice_factor(dimensions);
    for (int64_t p = 0; p < points; ++p) {
        float sum = 0;
        for (int r = 0; r < corner_count; ++r)
            sum += weights[p * corner_count + r] * factor * value[corners[p * corner_count + r]];
        const float norm = 1.0f / std::sqrt(sum + 1e-20f);
        for (int r = 0; r < corner_count; ++r) weights[p * corner_count + r] *= norm;
    }
}

}  // namespace sbnet
