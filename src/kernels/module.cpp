// sbnet._kernels: what Python sees of the C++. Values are checked by its callers in sbnet/ops and sbnet/metrics, which
// also word the messages; what is checked here keeps memory safe.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "buffer.hpp"
#include "canny.hpp"
#include "sweep.hpp"
#include "lattice.hpp"
#include "mean_field.hpp"
#include "random_walk.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using sbnet::Buffer;
using sbnet::Lattice;
using Image = nb::ndarray<const uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <typename T>
using ConstMaps = nb::ndarray<const T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Maps = nb::ndarray<nb::numpy, T, nb::ndim<3>>;
using Result = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <typename T>
Maps<T> owned(std::unique_ptr<T[]> values, std::initializer_list<size_t> shape) {
    T* data = values.release();
    return Maps<T>(data, shape, nb::capsule(data, [](void* pointer) noexcept { delete[] static_cast<T*>(pointer); }));
}

struct Implementation {
    const char* name;
    sbnet::SimplexFunction simplices;
    void (*mean_field)(const sbnet::MeanField&);
    void (*walk_float)(const sbnet::RandomWalk<float>&);
    void (*walk_double)(const sbnet::RandomWalk<double>&);

    void walk(const sbnet::RandomWalk<float>& job) const { walk_float(job); }
    void walk(const sbnet::RandomWalk<double>& job) const { walk_double(job); }
};

// Those that this processor can run, the fastest first.
std::vector<Implementation> implementations() {
    std::vector<Implementation> usable;
#ifdef SBNET_HAVE_X86_LEVELS
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        usable.push_back({"avx512", sbnet::simplices_avx512, sbnet::mean_field_avx512, sbnet::random_walk_avx512,
                          sbnet::random_walk_avx512});
    if (avx2)
        usable.push_back({"avx2", sbnet::simplices_avx2, sbnet::mean_field_avx2, sbnet::random_walk_avx2,
                          sbnet::random_walk_avx2});
#endif
    usable.push_back({"baseline", sbnet::simplices_baseline, sbnet::mean_field_baseline, sbnet::random_walk_baseline,
                      sbnet::random_walk_baseline});
    return usable;
}

void mean_field(ConstMaps<float> probabilities, Result marginals, const std::vector<const Lattice*>& lattices,
                const std::vector<float>& weights, int iterations, const std::vector<int>& used,
                size_t implementation) {
    const size_t sets = probabilities.shape(0), channels = probabilities.shape(1), labels = used.size();
    const size_t points = probabilities.shape(2);
    if (marginals.shape(0) != sets || marginals.shape(1) != channels || marginals.shape(2) != points)
        throw std::invalid_argument("marginals are not of the probabilities' shape");
    if (weights.size() != lattices.size()) throw std::invalid_argument("one weight a lattice is needed");
    for (const Lattice* lattice : lattices)
        if (!lattice || lattice->points != static_cast<int64_t>(points))
            throw std::invalid_argument("lattices and probabilities differ in their number of points");
    for (size_t i = 0; i < used.size(); ++i)
        if (used[i] < 0 || static_cast<size_t>(used[i]) >= channels || (i && used[i] <= used[i - 1]))
            throw std::invalid_argument("used channels must exist and ascend");
    if (iterations < 0) throw std::invalid_argument("iterations below 0");
    if (!labels) return;
    nb::gil_scoped_release release;
    const auto tiles = static_cast<size_t>(sbnet::tile_count(static_cast<int64_t>(points)));
    const size_t lanes = static_cast<size_t>(sbnet::padded_lanes(static_cast<int>(sets * labels)));
    std::vector<Buffer<float>> buffers;
    auto scratch = [&](size_t size) { return buffers.emplace_back(size).get(); };
    std::vector<sbnet::PairwiseKernel> kernels;
    for (size_t k = 0; k < lattices.size(); ++k) {
        const Lattice& lattice = *lattices[k];
        const size_t size = (static_cast<size_t>(lattice.vertices) + 1) * lanes;
        kernels.push_back({lattice.dimensions + 1, lattice.vertices, lattice.corners.get(), lattice.weights.get(),
                           lattice.neighbours.data(), weights[k] * sbnet::slice_factor(lattice.dimensions),
                           scratch(size), scratch(size)});
    }
    const sbnet::MeanField job{static_cast<int64_t>(points),
                               static_cast<int>(sets),
                               static_cast<int>(labels),
                               static_cast<int>(lanes),
                               iterations,
                               static_cast<int>(channels),
                               used.data(),
                               probabilities.data(),
                               marginals.data(),
                               scratch(tiles * sets * labels * sbnet::tile_points),
                               scratch(sbnet::tile_points * lanes),
                               scratch(sbnet::tile_points * lanes),
                               kernels.data(),
                               static_cast<int>(kernels.size())};
    implementations().at(implementation).mean_field(job);
}

template <typename T>
Maps<T> random_walk(ConstMaps<T> scores, ConstMaps<T> weights, const std::vector<int>& offset_y,
                    const std::vector<int>& offset_x, int margin, int steps, size_t implementation) {
    const size_t labels = scores.shape(0), rows = scores.shape(1), columns = scores.shape(2);
    if (offset_y.size() != weights.shape(0) || offset_x.size() != weights.shape(0) ||
        weights.shape(1) + margin != rows || weights.shape(2) + 2 * margin != columns)
        throw std::invalid_argument("weights do not fit offsets and scores");
    for (size_t p = 0; p < offset_y.size(); ++p)
        if (offset_y[p] < 0 || offset_y[p] > margin || std::abs(offset_x[p]) > margin)
            throw std::invalid_argument("an offset beyond the margin");
    std::unique_ptr<T[]> result(new T[labels * rows * columns]);
    {
        nb::gil_scoped_release release;
        constexpr size_t width = sbnet::widest_vector;
        const size_t padded_columns = (columns + width - 1) / width * width;
        const size_t map_size = (rows + 2 * margin) * (padded_columns + 2 * margin);
        const Buffer<T> now(labels * map_size), after(labels * map_size);
        const Buffer<T> spread(rows * padded_columns * 2 * offset_y.size());
        const sbnet::RandomWalk<T> job{static_cast<int>(labels),
                                       static_cast<int>(rows),
                                       static_cast<int>(columns),
                                       steps,
                                       static_cast<int>(offset_y.size()),
                                       offset_y.data(),
                                       offset_x.data(),
                                       margin,
                                       weights.data(),
                                       scores.data(),
                                       result.get(),
                                       now.get(),
                                       after.get(),
                                       spread.get(),
                                       static_cast<int>(padded_columns),
                                       map_size};
        implementations().at(implementation).walk(job);
    }
    return owned(std::move(result), {labels, rows, columns});
}

using Counts = nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using List = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

int64_t sweep(nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu> scores, List<int64_t> ids,
              List<uint8_t> target, List<float> thresholds, int64_t classes, int64_t ignore, Counts counts) {
    const size_t bins = thresholds.size() + 1;
    if (scores.shape(0) != ids.size() || scores.shape(1) != target.size() ||
        counts.size() != static_cast<size_t>(classes * classes) * bins)
        throw std::invalid_argument("scores, ids, target and counts do not fit");
    for (size_t k = 0; k < ids.size(); ++k)
        if (ids.data()[k] < 0 || ids.data()[k] >= classes) throw std::invalid_argument("a channel of no class");
    nb::gil_scoped_release release;
    return sbnet::count_sweep({static_cast<int64_t>(target.size()), static_cast<int>(ids.size()), scores.data(),
                               ids.data(), target.data(), classes, ignore, thresholds.data(),
                               static_cast<int>(thresholds.size()), counts.data()});
}

nb::ndarray<nb::numpy, uint8_t, nb::ndim<2>> canny(Image image, int low, int high) {
    const size_t rows = image.shape(0), columns = image.shape(1), channels = image.shape(2);
    if (channels != 1 && channels != 3) throw std::invalid_argument("an image has 1 or 3 channels");
    std::unique_ptr<uint8_t[]> edges(new uint8_t[rows * columns]);
    {
        nb::gil_scoped_release release;
        sbnet::canny({static_cast<int64_t>(rows), static_cast<int64_t>(columns), static_cast<int>(channels),
                      image.data(), low, high, edges.get()});
    }
    uint8_t* data = edges.release();
    return {data, {rows, columns}, nb::capsule(data, [](void* pointer) noexcept { delete[] static_cast<uint8_t*>(pointer); })};
}

}  // namespace

NB_MODULE(_kernels, m) {
    m.doc() = "Compiled kernels of sbnet.ops.";
    nb::class_<Lattice>(m, "Lattice", "Permutohedral lattice around the pixels of a grid, or of an image (H, W, 3) uint8 with its colours.")
        .def(
            "__init__",
            [](Lattice* self, int64_t rows, int64_t columns, float sxy, size_t implementation) {
                nb::gil_scoped_release release;
                new (self) Lattice(rows, columns, sxy, implementations().at(implementation).simplices);
            },
            "rows"_a, "columns"_a, "sxy"_a, "implementation"_a = 0)
        .def(
            "__init__",
            [](Lattice* self, Image image, float sxy, float srgb, size_t implementation) {
                if (image.shape(2) != 3) throw std::invalid_argument("an image has 3 channels");
                nb::gil_scoped_release release;
                new (self) Lattice(image.data(), static_cast<int64_t>(image.shape(0)),
                                   static_cast<int64_t>(image.shape(1)), sxy, srgb,
                                   implementations().at(implementation).simplices);
            },
            "image"_a.noconvert(), "sxy"_a, "srgb"_a, "implementation"_a = 0)
        .def_ro("points", &Lattice::points)
        .def_ro("vertices", &Lattice::vertices);
    m.def("mean_field", &mean_field, "probabilities"_a.noconvert(), "marginals"_a.noconvert(), "lattices"_a, "weights"_a,
          "iterations"_a, "used"_a, "implementation"_a = 0,
          "Fills marginals with those of probabilities (A, K, N) float32, the same shape, after mean-field iterations; "
          "labels other than the used ones take no part and are left alone.");
    m.def("canny", &canny, "image"_a.noconvert(), "low"_a, "high"_a,
          "Edges (H, W) uint8, 0 or 255, of an image (H, W, 1 or 3) uint8.");
    constexpr char walk[] = "Scores (K, h, w) after a random walk along weights (P, h - margin, w - 2 margin).";
    m.def("random_walk", &random_walk<float>, "scores"_a.noconvert(), "weights"_a.noconvert(), "offset_y"_a, "offset_x"_a, "margin"_a,
          "steps"_a, "implementation"_a = 0, walk);
    m.def("random_walk", &random_walk<double>, "scores"_a.noconvert(), "weights"_a.noconvert(), "offset_y"_a, "offset_x"_a, "margin"_a,
          "steps"_a, "implementation"_a = 0, walk);
    m.def("sweep", &sweep, "scores"_a.noconvert(), "ids"_a.noconvert(), "target"_a.noconvert(), "thresholds"_a.noconvert(), "classes"_a, "ignore"_a,
          "counts"_a.noconvert(),
          "Adds a photo to counts (classes * classes * (thresholds + 1)); the first pixel beyond the classes or with a NaN "
          "score, or -1.");
    m.def(
        "implementations",
        [] {
            std::vector<std::string> names;
            for (const Implementation& usable : implementations()) names.emplace_back(usable.name);
            return names;
        },
        "The instruction sets that this processor can run the kernels with, the fastest first.");
}
