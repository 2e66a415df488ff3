// Compiled once per instruction set, under the name SBNET_MEAN_FIELD. Nothing here may come from the standard
// library's templates: the linker could give a plain processor a copy that was compiled for a newer one.

#include "mean_field.hpp"

#include <string.h>

#include "vector_math.hpp"

namespace sbnet {
namespace {

constexpr int blocks = tile_points / vector_lanes;  // vectors in a column of a tile

// VECTORS of 8 lanes a row; 0: their number is known at run time only.
template <int VECTORS>
class Solver {
public:
    explicit Solver(const MeanField& job) : job_(job) {}

    void run() const {
        memset(job_.columns, 0, sizeof(float) * lanes() * tile_points);  // lanes of no label stay so
        read_unary();
        for (int step = 0; step <= job_.iterations; ++step) {
            for (int k = 0; k < job_.kernel_count; ++k) {
                if (step > 0) blur(job_.kernels[k]);
                if (step < job_.iterations) clear(job_.kernels[k]);
            }
            for (int64_t tile = 0; tile < tile_count(job_.points); ++tile) update(tile, step);
            for (int k = 0; k < job_.kernel_count; ++k) swap(job_.kernels[k]);
        }
    }

private:
    int vectors() const { return VECTORS ? VECTORS : job_.lanes / vector_lanes; }
    int lanes() const { return vectors() * vector_lanes; }
    int used_lanes() const { return job_.sets * job_.labels; }

    // A row of vectors: of a vertex, or of a point of a tile.
    static Vector* at(float* base, int64_t index, int width) { return reinterpret_cast<Vector*>(base) + index * width; }
    static const Vector* at(const float* base, int64_t index, int width) {
        return reinterpret_cast<const Vector*>(base) + index * width;
    }
    Vector* row(float* base, int64_t index) const { return at(base, index, vectors()); }

    // A lane's vectors in a tile.
    Vector* column(int lane) const { return reinterpret_cast<Vector*>(job_.columns) + lane * blocks; }

    static void swap(PairwiseKernel& kernel) {
        float* values = kernel.values;
        kernel.values = kernel.scratch;
        kernel.scratch = values;
    }

    void clear(const PairwiseKernel& kernel) const {
        memset(kernel.scratch, 0, (static_cast<size_t>(kernel.vertices) + 1) * lanes() * sizeof(float));
    }

    int points_in(int64_t tile) const {
        const int64_t left = job_.points - tile * tile_points;
        return left < tile_points ? static_cast<int>(left) : tile_points;
    }

    // Where a lane's map begins in probabilities and marginals.
    int64_t map(int lane) const {
        const int set = lane / job_.labels, label = lane % job_.labels;
        return (static_cast<int64_t>(set) * job_.channels + job_.channel_of[label]) * job_.points;
    }

    // log p, by tiles; points beyond the last have probability 0.
    void read_unary() const {
        for (int lane = 0; lane < used_lanes(); ++lane) {
            const float* from = job_.probabilities + map(lane);
            for (int64_t tile = 0; tile < tile_count(job_.points); ++tile) {
                Vector logs[blocks] = {};
                memcpy(logs, from + tile * tile_points, points_in(tile) * sizeof(float));
                for (Vector& x : logs) x = log_of_probability(x);
                memcpy(job_.log_unary + (tile * used_lanes() + lane) * tile_points, logs, sizeof(logs));
            }
        }
    }

    // [1 2 1] / 2 along each of the D + 1 axes.
    void blur(PairwiseKernel& kernel) const {
        for (int axis = 0; axis < kernel.corners_per_point; ++axis) {
            const int32_t* pair = kernel.neighbours + static_cast<size_t>(axis) * (kernel.vertices + 1) * 2;
            memset(kernel.scratch, 0, lanes() * sizeof(float));  // the vertex that is not there
            const float* from = kernel.values;
            Vector* to = row(kernel.scratch, 1);
            const int width = vectors();
            for (int32_t v = 1, count = kernel.vertices; v <= count; ++v, to += width) {
                const Vector *centre = at(from, v, width), *one = at(from, pair[2 * v], width);
                const Vector* other = at(from, pair[2 * v + 1], width);
                for (int i = 0; i < width; ++i) to[i] = centre[i] + 0.5f * (one[i] + other[i]);
            }
            swap(kernel);
        }
    }

    // One mean-field step for the points of a tile: slice, add the unary, softmax, splat for the next step.
    void update(int64_t tile, int step) const {
        if (step > 0) {
            memset(job_.rows, 0, sizeof(float) * lanes() * tile_points);
            for (int k = 0; k < job_.kernel_count; ++k) {
                if (job_.kernels[k].corners_per_point == 3)
                    slice<3>(job_.kernels[k], tile);
                else
                    slice<6>(job_.kernels[k], tile);
            }
            rows_to_columns();
        }
        for (int set = 0; set < job_.sets; ++set) softmax(tile, set * job_.labels, step > 0);
        if (step == job_.iterations) return write(tile);
        columns_to_rows();
        for (int k = 0; k < job_.kernel_count; ++k) {
            if (job_.kernels[k].corners_per_point == 3)
                splat<3>(job_.kernels[k], tile);
            else
                splat<6>(job_.kernels[k], tile);
        }
    }

    // In the loops below, what they need lies in locals: a store of vectors might change any member, to the compiler.
    template <int CORNERS>
    void slice(const PairwiseKernel& kernel, int64_t tile) const {
        const int32_t* corners = kernel.corners + tile * CORNERS * tile_points;
        const float* weights = kernel.weights + tile * CORNERS * tile_points;
        const float* values = kernel.values;
        const float factor = kernel.factor;
        const int width = vectors();
        Vector* to = row(job_.rows, 0);
        for (int p = 0; p < tile_points; ++p, to += width)
            for (int i = 0; i < width; ++i) {
                Vector sum = weights[p] * at(values, corners[p], width)[i];
                for (int r = 1; r < CORNERS; ++r)
                    sum += weights[r * tile_points + p] * at(values, corners[r * tile_points + p], width)[i];
                to[i] += factor * sum;
            }
    }

    template <int CORNERS>
    void splat(const PairwiseKernel& kernel, int64_t tile) const {
        const int32_t* corners = kernel.corners + tile * CORNERS * tile_points;
        const float* weights = kernel.weights + tile * CORNERS * tile_points;
        float* values = kernel.scratch;
        const int width = vectors();
        const Vector* from = row(job_.rows, 0);
        for (int p = 0; p < tile_points; ++p, from += width)
            for (int r = 0; r < CORNERS; ++r) {
                Vector* to = at(values, corners[r * tile_points + p], width);
                const float weight = weights[r * tile_points + p];
                for (int i = 0; i < width; ++i) to[i] += weight * from[i];
            }
    }

    void rows_to_columns() const {
        const int width = vectors();
        const Vector* rows = row(job_.rows, 0);
        for (int i = 0; i < width; ++i)
            for (int block = 0; block < blocks; ++block) {
                Vector square[vector_lanes];
                for (int p = 0; p < vector_lanes; ++p) square[p] = rows[(block * vector_lanes + p) * width + i];
                transpose(square);
                Vector* to = column(i * vector_lanes) + block;
                for (int lane = 0; lane < vector_lanes; ++lane) to[lane * blocks] = square[lane];
            }
    }

    void columns_to_rows() const {
        const int width = vectors();
        Vector* rows = row(job_.rows, 0);
        for (int i = 0; i < width; ++i)
            for (int block = 0; block < blocks; ++block) {
                Vector square[vector_lanes];
                const Vector* from = column(i * vector_lanes) + block;
                for (int lane = 0; lane < vector_lanes; ++lane) square[lane] = from[lane * blocks];
                transpose(square);
                for (int p = 0; p < vector_lanes; ++p) rows[(block * vector_lanes + p) * width + i] = square[p];
            }
    }

    // Of a set's labels, whose lanes begin at `first`: of the unary plus, if `message`, what the columns hold.
    void softmax(int64_t tile, int first, bool message) const {
        const int count = job_.labels * blocks;  // vectors, those of a label side by side
        const Vector* unary = reinterpret_cast<const Vector*>(job_.log_unary) + (tile * used_lanes() + first) * blocks;
        Vector* x = reinterpret_cast<Vector*>(job_.columns) + first * blocks;
        Vector largest[blocks], sum[blocks] = {};
        for (Vector& start : largest) start = broadcast(-1e30f);
        for (int i = 0; i < count; i += blocks)
            for (int block = 0; block < blocks; ++block) {
                const Vector sharpened = message ? x[i + block] + unary[i + block] : unary[i + block];
                x[i + block] = sharpened;
                largest[block] = sharpened > largest[block] ? sharpened : largest[block];
            }
        for (int i = 0; i < count; i += blocks)
            for (int block = 0; block < blocks; ++block) {
                const Vector share = exp_nonpositive(x[i + block] - largest[block]);
                x[i + block] = share;
                sum[block] += share;
            }
        for (Vector& total : sum) total = 1.0f / total;
        for (int i = 0; i < count; i += blocks)
            for (int block = 0; block < blocks; ++block) x[i + block] *= sum[block];
    }

    void write(int64_t tile) const {
        for (int lane = 0; lane < used_lanes(); ++lane)
            memcpy(job_.marginals + map(lane) + tile * tile_points, column(lane), points_in(tile) * sizeof(float));
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
