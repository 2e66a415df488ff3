// Threshold sweep: the pixels of an image, counted for all thresholds at once.
#pragma once

#include <cstdint>

namespace sbnet {

struct Sweep {
    int64_t pixels;
    int channels;
    const float* scores;     // channels x pixels
    const int64_t* ids;      // the channels' classes, within the classes
    const uint8_t* target;
    int64_t classes, ignore;
    const float* thresholds;  // ascending
    int threshold_count;
    int64_t* counts;  // classes (target) x classes (of the highest score) x threshold_count + 1 (how many lie below it)
};

// Adds one photo. Gives the first pixel whose target is beyond the classes or one of whose scores is NaN, where
// counting ends, or -1.
int64_t count_sweep(const Sweep& job);

}  // namespace sbnet
