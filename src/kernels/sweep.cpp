#include "sweep.hpp"

#include <algorithm>
#include <vector>

namespace sbnet {
namespace {

constexpr int cells = 1024;

// Number of thresholds below a value. Where to begin looking is read from a table over the thresholds' range.
class Bins {
public:
    Bins(const float* thresholds, int count)
        : thresholds_(thresholds, thresholds + count), first_(cells + 1), low_(count ? thresholds[0] : 0) {
        const float range = count ? thresholds[count - 1] - low_ : 0;
        scale_ = range > 1e-30f ? cells / range : 0;  // 0: no table, every search begins at the first
        for (int cell = 0, below = 0; cell <= cells; ++cell) {
            while (below < count && cell_of(thresholds_[below]) < cell) ++below;
            first_[cell] = below;
        }
    }

    int of(float value) const {
        int below = first_[cell_of(value)];
        const int count = static_cast<int>(thresholds_.size());
        while (below < count && thresholds_[below] < value) ++below;
        return below;
    }

private:
    int cell_of(float value) const {
        if (scale_ == 0) return 0;
        return static_cast<int>(std::min(std::max((value - low_) * scale_, 0.0f), static_cast<float>(cells)));
    }

    std::vector<float> thresholds_;
    std::vector<int> first_;
    float low_, scale_;
};

}  // namespace

int64_t count_sweep(const Sweep& job) {
    const Bins bins(job.thresholds, job.threshold_count);
    const int64_t row = job.classes * (job.threshold_count + 1);
    for (int64_t i = 0; i < job.pixels; ++i) {
        const int64_t target = job.target[i];
        if (target == job.ignore) continue;
        if (target >= job.classes) return i;
        int64_t place = target * row;
        if (job.channels) {
            float best = job.scores[i];
            int channel = 0;
            bool valid = best == best;
            for (int k = 1; k < job.channels; ++k) {
                const float score = job.scores[k * job.pixels + i];
                valid &= score == score;
                if (score > best) {
                    best = score;
                    channel = k;
                }
            }
            if (!valid) return i;
            place += job.ids[channel] * (job.threshold_count + 1) + bins.of(best);
        }
        ++job.counts[place];
    }
    return -1;
}

}  // namespace sbnet
