// Mean field of the fully connected CRF (Kraehenbuehl and Koltun, NIPS 2011), lattices of the same points.
//
// The labels of all sets lie side by side in lanes: lane = set * labels + label; L lanes, padded to whole vectors.
// Points go in tiles, as in simplex.hpp.
#pragma once

#include <stdint.h>

#include "simplex.hpp"

namespace sbnet {

// One pairwise kernel, all of it borrowed. See Lattice for the fields that it shares.
struct PairwiseKernel {
    int corners_per_point;  // D + 1
    int32_t vertices;
    const int32_t* corners;
    const float* weights;
    const int32_t* neighbours;
    float factor;    // the kernel's weight in the energy, times slice_factor
    float* values;   // (V + 1) x L; this and all below in rows of L lanes, aligned to a vector
    float* scratch;  // (V + 1) x L
};

struct MeanField {
    int64_t points;
    int sets, labels, lanes, iterations;
    int channels;                // of probabilities and marginals, of which the labels are some
    const int* channel_of;       // label -> channel
    const float* probabilities;  // sets x channels x N
    float* marginals;            // the same shape; channels of no label are left alone
    float* log_unary;            // tiles x (sets * labels) x tile_points, scratch
    float* rows;                 // tile_points x L, scratch
    float* columns;              // L x tile_points, scratch
    PairwiseKernel* kernels;
    int kernel_count;
};

constexpr int vector_lanes = 8;

static constexpr int padded_lanes(int lanes) { return (lanes + vector_lanes - 1) / vector_lanes * vector_lanes; }

// The same source, mean_field.cpp, compiled for several instruction sets.
void mean_field_baseline(const MeanField& job);
#ifdef SBNET_HAVE_X86_LEVELS
void mean_field_avx2(const MeanField& job);
void mean_field_avx512(const MeanField& job);
#endif

}  // namespace sbnet
