// The permutohedral lattice (Adams, Baek and Davis, Eurographics 2010) around a set of points.
//
// N points of D features, each inside a simplex of D + 1 lattice vertices; V distinct vertices.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace sbnet {

template <int D>
struct Pixels;

// Vertex numbers start at 1; number 0 is a vertex that is not there, whose value is always 0.
struct Lattice {
    // Of the pixels' places alone: x / sxy, y / sxy.
    // Both throw std::invalid_argument for deviations too small for the keys.
    Lattice(int64_t rows, int64_t columns, float sxy);

    // Of places and colours of an image, rows x columns x 3: colours / srgb besides.
    Lattice(const uint8_t* image, int64_t rows, int64_t columns, float sxy, float srgb);

    int64_t points;
    int dimensions;
    int32_t vertices = 0;
    std::unique_ptr<int32_t[]> corners;  // N x (D + 1): the vertices of the point's simplex
    std::unique_ptr<float[]> weights;    // N x (D + 1): barycentric, times the kernel's symmetric normalisation
    std::vector<int32_t> neighbours;     // (D + 1) x (V + 1) x 2: both neighbours of a vertex along an axis

private:
    template <int D>
    void build(const Pixels<D>& features);
    void normalize();
};

// What filtering on the lattice multiplies a kernel by, beyond the blur: Adams et al.'s constant.
float slice_factor(int dimensions);

}  // namespace sbnet
