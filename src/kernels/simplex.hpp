// Where pixels lie in the permutohedral lattice: the vertices of the simplex around each, and their weights.
//
// D features a pixel: its place (D = 2), with an image its colour besides (D = 5). A simplex has D + 1 vertices.
// Functions here are static, for several instruction sets include them: the linker must not mix these.
#pragma once

#include <stdint.h>

namespace sbnet {

constexpr int tile_points = 16;  // points are worked on in tiles

static constexpr int64_t tile_count(int64_t points) { return (points + tile_points - 1) / tile_points; }

// A vertex is one number. All its coordinates have the same remainder r modulo D + 1, and the last one follows from
// the others: r lies in the lowest bits, above it the D other coordinates' multiples of D + 1, plus `reach`, as digits.
static constexpr int remainder_bits = 3;

template <int D>
static constexpr int digit_bits = (64 - remainder_bits) / D;

// What one multiple of coordinate i adds to the key; 0 for the last one.
template <int D>
static constexpr uint64_t key_step(int i) {
    return i < D ? uint64_t{1} << (remainder_bits + i * digit_bits<D>) : 0;
}

// The pixels of a grid: x / sxy, y / sxy and, with an image (rows x columns x 3), its colours / srgb.
struct PixelGrid {
    const uint8_t* image;
    int64_t rows, columns;
    float sxy, srgb;
    float scale[5];  // of the features in the lattice's plane, so that the blur has deviation 1
    int reach;       // above every multiple, neighbours' included
};

// Keys and barycentric weights of a tile that begins at the point `start`: (D + 1) x tile_points each. What lies
// beyond the last point is like the last one.
using SimplexFunction = void (*)(const PixelGrid& grid, int64_t start, uint64_t* keys, float* weights);

// The same source, simplex.cpp, compiled for several instruction sets.
void simplices_baseline(const PixelGrid& grid, int64_t start, uint64_t* keys, float* weights);
#ifdef SBNET_HAVE_X86_LEVELS
void simplices_avx2(const PixelGrid& grid, int64_t start, uint64_t* keys, float* weights);
void simplices_avx512(const PixelGrid& grid, int64_t start, uint64_t* keys, float* weights);
#endif

}  // namespace sbnet
