// Random walk of scores along pixel affinities (Ahn and Kwak, CVPR 2018): ops/random_walk.py has the formula.
#pragma once

#include <stddef.h>

namespace sbnet {

// K maps on an h x w grid, P offsets. Maps lie padded by `margin` zeros on all sides, rows padded to whole vectors.
template <typename T>
struct RandomWalk {
    int labels, rows, columns, steps;
    int offsets;         // P: half of the neighbours
    const int* offset_y;  // 0 or more
    const int* offset_x;
    int margin;          // the largest offset
    const T* weights;    // P x (rows - margin) x (columns - 2 margin): of from-pixels, see ops/affinity.py
    const T* scores;     // K x rows x columns
    T* result;           // the same shape
    T* now;              // K padded maps, scratch, as the next; aligned to a vector
    T* after;
    T* spread;           // spread_size: the share of each neighbour in a pixel's next value

    static constexpr int widest_vector = 64 / sizeof(T);

    int padded_columns() const { return (columns + widest_vector - 1) / widest_vector * widest_vector; }
    int row_size() const { return padded_columns() + 2 * margin; }
    size_t map_size() const { return static_cast<size_t>(rows + 2 * margin) * row_size() + widest_vector; }
    size_t spread_size() const {
        return static_cast<size_t>(rows) * padded_columns() * 2 * offsets;
    }
};

// The same source, random_walk.cpp, compiled for several instruction sets.
void random_walk_baseline(const RandomWalk<float>& job);
void random_walk_baseline(const RandomWalk<double>& job);
#ifdef SBNET_HAVE_X86_LEVELS
void random_walk_avx2(const RandomWalk<float>& job);
void random_walk_avx2(const RandomWalk<double>& job);
void random_walk_avx512(const RandomWalk<float>& job);
void random_walk_avx512(const RandomWalk<double>& job);
#endif

}  // namespace sbnet
