// Counting pixels: confusion matrix and threshold sweep.
#pragma once

#include <cstdint>

namespace sbnet {

// Adds to counts (classes x classes, rows target, columns prediction) the pixels whose target is not `ignore`.
// Gives the first pixel with an id beyond the classes, where counting ends, or -1.
template <typename Id>
int64_t count_confusion(const Id* prediction, const Id* target, int64_t pixels, int64_t classes, int64_t ignore,
                        int64_t* counts) {
    for (int64_t i = 0; i < pixels; ++i) {
        if (static_cast<int64_t>(target[i]) == ignore) continue;
        // Negative ids are larger than any class as unsigned numbers.
        const auto row = static_cast<uint64_t>(target[i]), column = static_cast<uint64_t>(prediction[i]);
        if (row >= static_cast<uint64_t>(classes) || column >= static_cast<uint64_t>(classes)) return i;
        ++counts[row * classes + column];
    }
    return -1;
}

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
