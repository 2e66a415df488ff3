// Compiled once per instruction set, under the name SBNET_MEAN_FIELD. Nothing here may come from the standard
// library's templates: the linker could then give a plain processor a copy compiled for a newer one.

#include "mean_field.hpp"

#include <math.h>
#include <string.h>

namespace sbnet {
namespace {

constexpr float smallest_probability = 1e-5f;

// e^x for x <= 0 within 2e-7 relative, in a form that compilers turn into vector code: x = n ln 2 + r, a polynomial
// in r, n into the exponent. Cut at e^-64, so that no product downstream is a (slow) denormal number.
inline float exp_nonpositive(float x) {
    constexpr float to_integer = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    x = x < -64.0f ? -64.0f : x;
    const float shifted = x * 1.44269504f + to_integer;
    const float n = shifted - to_integer;
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln 2 in two parts
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
    float power;
    memcpy(&power, &exponent, sizeof power);
    return p * power;
}

// LANES is the number of lanes, or 0 where it is known at run time only.
template <int LANES>
class Solver {
public:
    explicit Solver(const MeanField& job) : job_(job), lanes_(LANES ? LANES : job.lanes) {}

    void run() const {
        read_unary();
        for (int step = 0; step <= job_.iterations; ++step) {
            for (int k = 0; k < job_.kernel_count; ++k) {
                if (step > 0) blur(job_.kernels[k]);
                if (step < job_.iterations) clear(job_.kernels[k].scratch, job_.kernels[k]);
            }
            for (int64_t start = 0; start < job_.points; start += tile_points) update(start, step);
            for (int k = 0; k < job_.kernel_count; ++k) swap(job_.kernels[k]);
        }
    }

private:
    int lanes() const { return LANES ? LANES : lanes_; }

    static void swap(PairwiseKernel& kernel) {
        float* values = kernel.values;
        kernel.values = kernel.scratch;
        kernel.scratch = values;
    }

    void clear(float* values, const PairwiseKernel& kernel) const {
        memset(values, 0, (static_cast<size_t>(kernel.vertices) + 1) * lanes() * sizeof(float));
    }

    // log p, from labels x points to points x lanes.
    void read_unary() const {
        const int used = job_.sets * job_.labels;
        for (int64_t start = 0; start < job_.points; start += tile_points) {
            const int count = tile_size(start);
            for (int lane = 0; lane < lanes(); ++lane) {
                const float* from = job_.probabilities + lane * job_.points + start;
                float* to = job_.log_unary + start * lanes() + lane;
                for (int i = 0; i < count; ++i) {
                    if (lane >= used) {
                        to[i * lanes()] = -1000.0f;
                        continue;
                    }
                    const float p = from[i] < smallest_probability ? smallest_probability : from[i];
                    to[i * lanes()] = logf(p > 1.0f ? 1.0f : p);
                }
            }
        }
    }

    // [1 2 1] / 2 along each of the D + 1 axes.
    void blur(PairwiseKernel& kernel) const {
        for (int axis = 0; axis < kernel.corners_per_point; ++axis) {
            const int32_t* pair = kernel.neighbours + static_cast<size_t>(axis) * (kernel.vertices + 1) * 2;
            const float* in = kernel.values;
            float* out = kernel.scratch;
            for (int lane = 0; lane < lanes(); ++lane) out[lane] = 0.0f;  // the vertex that is not there
            for (int32_t v = 1; v <= kernel.vertices; ++v) {
                const float* centre = in + static_cast<size_t>(v) * lanes();
                const float* one = in + static_cast<size_t>(pair[2 * v]) * lanes();
                const float* other = in + static_cast<size_t>(pair[2 * v + 1]) * lanes();
                float* __restrict to = out + static_cast<size_t>(v) * lanes();
                for (int lane = 0; lane < lanes(); ++lane) to[lane] = centre[lane] + 0.5f * (one[lane] + other[lane]);
            }
            swap(kernel);
        }
    }

    int tile_size(int64_t start) const {
        const int64_t left = job_.points - start;
        return left < tile_points ? static_cast<int>(left) : tile_points;
    }

    // One mean-field step for a few points: slice, add the unary, softmax, splat for the next step.
    void update(int64_t start, int step) const {
        const int count = tile_size(start);
        float* tile = job_.tile;
        memcpy(tile, job_.log_unary + start * lanes(), static_cast<size_t>(count) * lanes() * sizeof(float));
        if (step > 0)
            for (int k = 0; k < job_.kernel_count; ++k)
                for (int i = 0; i < count; ++i) slice(job_.kernels[k], start + i, tile + i * lanes());
        softmax(tile, count);
        if (step == job_.iterations) return write(start, count);
        for (int k = 0; k < job_.kernel_count; ++k)
            for (int i = 0; i < count; ++i) splat(job_.kernels[k], start + i, tile + i * lanes());
    }

    void slice(const PairwiseKernel& kernel, int64_t point, float* __restrict to) const {
        const int32_t* corners = kernel.corners + point * kernel.corners_per_point;
        const float* weights = kernel.weights + point * kernel.corners_per_point;
        for (int r = 0; r < kernel.corners_per_point; ++r) {
            const float* value = kernel.values + static_cast<size_t>(corners[r]) * lanes();
            const float weight = weights[r] * kernel.factor;
            for (int lane = 0; lane < lanes(); ++lane) to[lane] += weight * value[lane];
        }
    }

    void splat(const PairwiseKernel& kernel, int64_t point, const float* __restrict from) const {
        const int32_t* corners = kernel.corners + point * kernel.corners_per_point;
        const float* weights = kernel.weights + point * kernel.corners_per_point;
        for (int r = 0; r < kernel.corners_per_point; ++r) {
            float* value = kernel.scratch + static_cast<size_t>(corners[r]) * lanes();
            for (int lane = 0; lane < lanes(); ++lane) value[lane] += weights[r] * from[lane];
        }
    }

    void softmax(float* __restrict tile, int count) const {
        const int labels = job_.labels;
        for (int i = 0; i < count; ++i)
            for (int set = 0; set < job_.sets; ++set) {
                float* at = tile + i * lanes() + set * labels;
                float largest = at[0];
                for (int k = 1; k < labels; ++k) largest = at[k] > largest ? at[k] : largest;
                for (int k = 0; k < labels; ++k) at[k] -= largest;
            }
        for (int i = 0; i < count * lanes(); ++i) tile[i] = exp_nonpositive(tile[i]);
        for (int i = 0; i < count; ++i)
            for (int set = 0; set < job_.sets; ++set) {
                float* at = tile + i * lanes() + set * labels;
                float sum = 0.0f;
                for (int k = 0; k < labels; ++k) sum += at[k];
                const float inverse = 1.0f / sum;
                for (int k = 0; k < labels; ++k) at[k] *= inverse;
            }
    }

    void write(int64_t start, int count) const {
        for (int lane = 0; lane < job_.sets * job_.labels; ++lane)
            for (int i = 0; i < count; ++i)
                job_.marginals[lane * job_.points + start + i] = job_.tile[i * lanes() + lane];
    }

    const MeanField& job_;
    int lanes_;
};

}  // namespace

void SBNET_MEAN_FIELD(const MeanField& job) {
    switch (job.lanes) {
        case 4: return Solver<4>(job).run();
        case 8: return Solver<8>(job).run();
        case 16: return Solver<16>(job).run();
        case 24: return Solver<24>(job).run();
        default: return Solver<0>(job).run();
    }
}

}  // namespace sbnet
