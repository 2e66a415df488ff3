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
    T* spread;           // rows x padded_columns x 2 P: the share of each neighbour in a pixel's next value
    int padded_columns;  // a multiple of `widest_vector`
    size_t map_size;     // of a padded map: (rows + 2 margin) x (padded_columns + 2 margin)
};

constexpr int widest_vector = 16;  // numbers of either type

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
