// Which labels of a CRF matter anywhere.
#pragma once

#include <cstddef>

namespace sbnet {

// Each label's largest share of a pixel's probabilities (sets x labels x points), clipped to [1e-5, 1], over all sets.
void largest_shares(const float* probabilities, size_t sets, size_t labels, size_t points, float* largest);

}  // namespace sbnet
