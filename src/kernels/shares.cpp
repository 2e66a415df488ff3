#include "shares.hpp"

#include <algorithm>
#include <vector>

namespace sbnet {
namespace {

constexpr size_t tile = 512;

float clip(float p) {
    p = p > 1e-5f ? p : 1e-5f;
    return p < 1.0f ? p : 1.0f;
}

}  // namespace

void largest_shares(const float* probabilities, size_t sets, size_t labels, size_t points, float* largest) {
    float scale[tile];
    std::vector<float> best(labels * tile, 0.0f);  // by place in the tile, so that the loops become vectors
    for (size_t set = 0; set < sets; ++set)
        for (size_t start = 0; start < points; start += tile) {
            const size_t count = std::min(tile, points - start);
            const float* first = probabilities + set * labels * points + start;
            std::fill_n(scale, count, 0.0f);
            for (size_t label = 0; label < labels; ++label)
                for (size_t i = 0; i < count; ++i) scale[i] += clip(first[label * points + i]);
            for (size_t i = 0; i < count; ++i) scale[i] = 1.0f / scale[i];
            for (size_t label = 0; label < labels; ++label)
                for (size_t i = 0; i < count; ++i) {
                    const float share = clip(first[label * points + i]) * scale[i];
                    float& top = best[label * tile + i];
                    top = share > top ? share : top;
                }
        }
    for (size_t label = 0; label < labels; ++label)
        largest[label] = *std::max_element(&best[label * tile], &best[label * tile] + tile);
}

}  // namespace sbnet
