// Compiled once per instruction set, under the name SBNET_MEAN_FIELD. Nothing here may come from the standard
// library's templates: the linker could give a plain processor a copy that was compiled for a newer one.

#include "mean_field.hpp"

#include <string.h>

#include "vector_math.hpp"

namespace sbnet {
namespace {

constexpr float padding = -1000.0f;  // log p of a lane without a label
constexpr float tiny = 1e-30f;       // against 0 / 0 in lanes without a set

// VECTORS of 8 lanes; 0: their number is known at run time only.
template <int VECTORS>
class Solver {
public:
    explicit Solver(const MeanField& job) : job_(job) {}

    void run() const {
        read_unary();
        for (int step = 0; step <= job_.iterations; ++step) {
            for (int k = 0; k < job_.kernel_count; ++k) {
                if (step > 0) blur(job_.kernels[k]);
                if (step < job_.iterations) clear(job_.kernels[k]);
            }
            for (int64_t start = 0; start < job_.points; start += tile_points) update(start, step);
            for (int k = 0; k < job_.kernel_count; ++k) swap(job_.kernels[k]);
        }
    }

private:
    int vectors() const { return VECTORS ? VECTORS : job_.lanes / vector_lanes; }
    int lanes() const { return vectors() * vector_lanes; }

    Vector* row(float* base, int64_t index) const {
        return reinterpret_cast<Vector*>(base + index * lanes());
    }
    const Vector* row(const float* base, int64_t index) const {
        return reinterpret_cast<const Vector*>(base + index * lanes());
    }

    static void swap(PairwiseKernel& kernel) {
        float* values = kernel.values;
        kernel.values = kernel.scratch;
        kernel.scratch = values;
    }

    void clear(const PairwiseKernel& kernel) const {
        memset(kernel.scratch, 0, (static_cast<size_t>(kernel.vertices) + 1) * lanes() * sizeof(float));
    }

    int tile_size(int64_t start) const {
        const int64_t left = job_.points - start;
        return left < tile_points ? static_cast<int>(left) : tile_points;
    }

    // log p, from labels x points to points x lanes.
    void read_unary() const {
        for (int64_t start = 0; start < job_.points; start += tile_points) {
            const int count = tile_size(start);
            float* to = job_.log_unary + start * lanes();
            for (int i = 0; i < count * lanes(); ++i) to[i] = padding;
            for (int set = 0; set < job_.sets; ++set)
                for (int label = 0; label < job_.labels; ++label) {
                    Vector logs[tile_points / vector_lanes] = {};
                    memcpy(logs, channel(job_.probabilities, set, label) + start, count * sizeof(float));
                    for (Vector& x : logs) x = log_of_probability(x);
                    const float* log = reinterpret_cast<const float*>(logs);
                    for (int i = 0; i < count; ++i) to[i * lanes() + set * job_.group + label] = log[i];
                }
        }
    }

    template <typename Float>
    Float* channel(Float* base, int set, int label) const {
        return base + (static_cast<int64_t>(set) * job_.channels + job_.channel_of[label]) * job_.points;
    }

    // [1 2 1] / 2 along each of the D + 1 axes.
    void blur(PairwiseKernel& kernel) const {
        for (int axis = 0; axis < kernel.corners_per_point; ++axis) {
            const int32_t* pair = kernel.neighbours + static_cast<size_t>(axis) * (kernel.vertices + 1) * 2;
            memset(kernel.scratch, 0, lanes() * sizeof(float));  // the vertex that is not there
            for (int32_t v = 1; v <= kernel.vertices; ++v) {
                const Vector* centre = row(kernel.values, v);
                const Vector* one = row(kernel.values, pair[2 * v]);
                const Vector* other = row(kernel.values, pair[2 * v + 1]);
                Vector* to = row(kernel.scratch, v);
                for (int i = 0; i < vectors(); ++i) to[i] = centre[i] + 0.5f * (one[i] + other[i]);
            }
            swap(kernel);
        }
    }

    // One mean-field step for a few points: slice, add the unary, softmax, splat for the next step.
    void update(int64_t start, int step) const {
        const int count = tile_size(start);
        memcpy(job_.tile, job_.log_unary + start * lanes(), size_t(count) * lanes() * sizeof(float));
        if (step > 0)
            for (int k = 0; k < job_.kernel_count; ++k) {
                if (job_.kernels[k].corners_per_point == 3)
                    slice<3>(job_.kernels[k], start, count);
                else
                    slice<6>(job_.kernels[k], start, count);
            }
        softmax(count);
        if (step == job_.iterations) return write(start, count);
        for (int k = 0; k < job_.kernel_count; ++k) {
            if (job_.kernels[k].corners_per_point == 3)
                splat<3>(job_.kernels[k], start, count);
            else
                splat<6>(job_.kernels[k], start, count);
        }
    }

    template <int CORNERS>
    void slice(const PairwiseKernel& kernel, int64_t start, int count) const {
        const int32_t* corners = kernel.corners + start * CORNERS;
        const float* weights = kernel.weights + start * CORNERS;
        for (int p = 0; p < count; ++p, corners += CORNERS, weights += CORNERS) {
            Vector* to = row(job_.tile, p);
            for (int i = 0; i < vectors(); ++i) {
                Vector sum = weights[0] * row(kernel.values, corners[0])[i];
                for (int r = 1; r < CORNERS; ++r) sum += weights[r] * row(kernel.values, corners[r])[i];
                to[i] += kernel.factor * sum;
            }
        }
    }

    template <int CORNERS>
    void splat(const PairwiseKernel& kernel, int64_t start, int count) const {
        const int32_t* corners = kernel.corners + start * CORNERS;
        const float* weights = kernel.weights + start * CORNERS;
        for (int p = 0; p < count; ++p, corners += CORNERS, weights += CORNERS) {
            const Vector* from = row(job_.tile, p);
            for (int r = 0; r < CORNERS; ++r) {
                Vector* to = row(kernel.scratch, corners[r]);
                for (int i = 0; i < vectors(); ++i) to[i] += weights[r] * from[i];
            }
        }
    }

    // Over the labels of each set; lanes without a label stay 0.
    void softmax(int count) const {
        switch (job_.group) {
            case 2: return softmax_in_vectors<2>(count);
            case 4: return softmax_in_vectors<4>(count);
            case 8: return softmax_in_vectors<8>(count);
            default: return softmax_over_vectors(count);
        }
    }

    // Each vector holds whole sets.
    template <int GROUP>
    void softmax_in_vectors(int count) const {
        for (int p = 0; p < count; ++p) {
            Vector* at = row(job_.tile, p);
            for (int i = 0; i < vectors(); ++i) {
                const Vector x = exp_nonpositive(at[i] - group_max<GROUP>(at[i])) * row(job_.mask, 0)[i];
                at[i] = x / (group_sum<GROUP>(x) + tiny);
            }
        }
    }

    // Each set takes several vectors.
    void softmax_over_vectors(int count) const {
        const int width = job_.group / vector_lanes;
        for (int p = 0; p < count; ++p)
            for (int set = 0; set < job_.sets; ++set) {
                Vector* at = row(job_.tile, p) + set * width;
                const Vector* mask = row(job_.mask, 0) + set * width;
                Vector largest = at[0], sum{};
                for (int i = 1; i < width; ++i) largest = at[i] > largest ? at[i] : largest;
                largest = group_max<vector_lanes>(largest);
                for (int i = 0; i < width; ++i) {
                    at[i] = exp_nonpositive(at[i] - largest) * mask[i];
                    sum += at[i];
                }
                const Vector scale = 1.0f / group_sum<vector_lanes>(sum);
                for (int i = 0; i < width; ++i) at[i] *= scale;
            }
    }

    void write(int64_t start, int count) const {
        for (int set = 0; set < job_.sets; ++set)
            for (int label = 0; label < job_.labels; ++label) {
                float* to = channel(job_.marginals, set, label) + start;
                const float* from = job_.tile + set * job_.group + label;
                for (int i = 0; i < count; ++i) to[i] = from[i * lanes()];
            }
    }

    const MeanField& job_;
};

}  // namespace

void SBNET_MEAN_FIELD(const MeanField& job) {
    switch (job.lanes / vector_lanes) {
        case 1: return Solver<1>(job).run();
        case 2: return Solver<2>(job).run();
        case 3: return Solver<3>(job).run();
        default: return Solver<0>(job).run();
    }
}

}  // namespace sbnet
