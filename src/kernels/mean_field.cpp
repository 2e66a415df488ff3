// Compiled once per instruction set, under the name SBNET_MEAN_FIELD. Nothing here may come from the standard
// library's templates: the linker could give a plain processor a copy that was compiled for a newer one.

#include "mean_field.hpp"

#include <math.h>
#include <string.h>

#include "vector_math.hpp"

namespace sbnet {
namespace {

constexpr float smallest_probability = 1e-5f;
constexpr float padding = -1000.0f;  // log p of a lane without a label

// The lanes of one set, begin to end, and the vectors that hold them, first to last (both not included).
struct Range {
    int begin, end, first, last;

    IntVector mask(int vector) const {
        const IntVector lane = IntVector{0, 1, 2, 3, 4, 5, 6, 7} + vector * vector_lanes;
        return (lane >= begin) & (lane < end);
    }
};

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
        const int used = job_.sets * job_.labels;
        for (int64_t start = 0; start < job_.points; start += tile_points) {
            const int count = tile_size(start);
            float* to = job_.log_unary + start * lanes();
            for (int lane = 0; lane < used; ++lane) {
                const float* from = job_.probabilities + lane * job_.points + start;
                for (int i = 0; i < count; ++i) {
                    const float p = from[i] < smallest_probability ? smallest_probability : from[i];
                    to[i * lanes() + lane] = logf(p > 1.0f ? 1.0f : p);
                }
            }
            for (int i = 0; i < count; ++i)
                for (int lane = used; lane < lanes(); ++lane) to[i * lanes() + lane] = padding;
        }
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

    // Over the labels of each set. Whole vectors with masks, since single lanes that are stored and read back as
    // vectors stall; in three passes, so that the processor overlaps the points.
    void softmax(int count) const {
        Vector* all = row(job_.tile, 0);
        for (int p = 0; p < count; ++p) subtract_largest(row(job_.tile, p));
        for (int i = 0; i < count * vectors(); ++i) all[i] = exp_nonpositive(all[i]);
        for (int p = 0; p < count; ++p) divide_by_sum(row(job_.tile, p));
    }

    void subtract_largest(Vector* at) const {
        for (int set = 0; set < job_.sets; ++set) {
            const Range range = lanes_of(set);
            Vector largest = broadcast(padding);
            for (int i = range.first; i < range.last; ++i) {
                const Vector x = range.mask(i) ? at[i] : broadcast(padding);
                largest = x > largest ? x : largest;
            }
            const Vector shift = broadcast(reduce_max(largest));
            for (int i = range.first; i < range.last; ++i) at[i] = range.mask(i) ? at[i] - shift : at[i];
        }
    }

    void divide_by_sum(Vector* at) const {
        for (int set = 0; set < job_.sets; ++set) {
            const Range range = lanes_of(set);
            Vector sum{};
            for (int i = range.first; i < range.last; ++i) sum += range.mask(i) ? at[i] : Vector{};
            const Vector scale = broadcast(1.0f / reduce_sum(sum));
            for (int i = range.first; i < range.last; ++i) at[i] = range.mask(i) ? at[i] * scale : at[i];
        }
    }

    Range lanes_of(int set) const {
        const int begin = set * job_.labels, end = begin + job_.labels;
        if (VECTORS) return {begin, end, 0, VECTORS};
        return {begin, end, begin / vector_lanes, (end + vector_lanes - 1) / vector_lanes};
    }

    void write(int64_t start, int count) const {
        for (int lane = 0; lane < job_.sets * job_.labels; ++lane)
            for (int i = 0; i < count; ++i)
                job_.marginals[lane * job_.points + start + i] = job_.tile[i * lanes() + lane];
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
