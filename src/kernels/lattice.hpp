// The permutohedral lattice (Adams, Baek and Davis, Eurographics 2010) around a set of points.
//
// N points of D features, each inside a simplex of D + 1 lattice vertices; V distinct vertices.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "simplex.hpp"

namespace sbnet {

// Vertex numbers start at 1; number 0 is a vertex that is not there, whose value is always 0.
struct Lattice {
    // Of the pixels' places alone: x / sxy, y / sxy.
    // Both throw std::invalid_argument for deviations too small for the keys.
    Lattice(int64_t rows, int64_t columns, float sxy, SimplexFunction simplices);

    // Of places and colours of an image, rows x columns x 3: colours / srgb besides.
    Lattice(const uint8_t* image, int64_t rows, int64_t columns, float sxy, float srgb, SimplexFunction simplices);

    int64_t points;
    int dimensions;
    int32_t vertices = 0;
    // Tiles x (D + 1) x tile_points. What lies beyond the last point has vertex 0 and weight 0.
    Buffer<int32_t> corners;          // the vertices of the point's simplex
    Buffer<float> weights;            // barycentric, times the kernel's symmetric normalisation
    std::vector<int32_t> neighbours;  // (D + 1) x (V + 1) x 2: both neighbours of a vertex along an axis

private:
    template <int D>
    void build(PixelGrid grid, SimplexFunction simplices);
    template <int D>
    void normalize();
};

// What filtering on the lattice multiplies a kernel by, beyond the blur: Adams et al.'s constant.
float slice_factor(int dimensions);

}  // namespace sbnet
