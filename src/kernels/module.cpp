// sbnet._kernels: what Python sees of the C++. Shapes and values are checked in sbnet/ops/dense_crf.py.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "lattice.hpp"
#include "mean_field.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using sbnet::Lattice;
using Features = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Probabilities = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Marginals = nb::ndarray<nb::numpy, float, nb::ndim<3>>;

constexpr std::align_val_t cache_line{64};

struct AlignedDelete {
    void operator()(float* pointer) const { ::operator delete[](pointer, cache_line); }
};

struct Implementation {
    const char* name;
    void (*run)(const sbnet::MeanField&);
};

// Those that this processor can run, the fastest first.
std::vector<Implementation> implementations() {
    std::vector<Implementation> usable;
#ifdef SBNET_HAVE_X86_LEVELS
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        usable.push_back({"avx512", sbnet::mean_field_avx512});
    if (avx2) usable.push_back({"avx2", sbnet::mean_field_avx2});
#endif
    usable.push_back({"baseline", sbnet::mean_field_baseline});
    return usable;
}

Marginals mean_field(Probabilities probabilities, const std::vector<const Lattice*>& lattices,
                     const std::vector<float>& weights, int iterations, size_t implementation) {
    const size_t sets = probabilities.shape(0), labels = probabilities.shape(1);
    const size_t points = probabilities.shape(2);
    if (weights.size() != lattices.size()) throw std::invalid_argument("one weight a lattice is needed");
    for (const Lattice* lattice : lattices)
        if (lattice->points != static_cast<int64_t>(points))
            throw std::invalid_argument("lattices and probabilities differ in their number of points");
    std::unique_ptr<float[]> result(new float[sets * labels * points]);
    {
        nb::gil_scoped_release release;
        const int lanes = sbnet::padded_lanes(static_cast<int>(sets * labels));
        std::vector<std::unique_ptr<float[], AlignedDelete>> buffers;
        auto scratch = [&](size_t rows) {
            return buffers.emplace_back(new (cache_line) float[rows * static_cast<size_t>(lanes)]).get();
        };
        std::vector<sbnet::PairwiseKernel> kernels;
        for (size_t k = 0; k < lattices.size(); ++k) {
            const Lattice& lattice = *lattices[k];
            const size_t rows = static_cast<size_t>(lattice.vertices) + 1;
            kernels.push_back({lattice.dimensions + 1, lattice.vertices, lattice.corners.data(),
                               lattice.weights.data(), lattice.neighbours.data(),
                               weights[k] * sbnet::slice_factor(lattice.dimensions), scratch(rows),
                               scratch(rows)});
        }
        const sbnet::MeanField job{static_cast<int64_t>(points), static_cast<int>(sets),
                                   static_cast<int>(labels),     lanes,
                                   iterations,                   probabilities.data(),
                                   result.get(),                 scratch(points),
                                   scratch(sbnet::tile_points),  kernels.data(),
                                   static_cast<int>(kernels.size())};
        implementations().at(implementation).run(job);
    }
    float* data = result.release();
    nb::capsule owner(data, [](void* pointer) noexcept { delete[] static_cast<float*>(pointer); });
    return Marginals(data, {sets, labels, points}, owner);
}

}  // namespace

NB_MODULE(_kernels, m) {
    m.doc() = "Compiled kernels of sbnet.ops.";
    nb::class_<Lattice>(m, "Lattice", "Permutohedral lattice around points, features (N, 2 or 5) float32.")
        .def(
            "__init__",
            [](Lattice* self, Features features) {
                nb::gil_scoped_release release;
                new (self) Lattice(features.data(), static_cast<int64_t>(features.shape(0)),
                                   static_cast<int>(features.shape(1)));
            },
            "features"_a)
        .def_ro("points", &Lattice::points)
        .def_ro("vertices", &Lattice::vertices);
    m.def("mean_field", &mean_field, "probabilities"_a, "lattices"_a, "weights"_a, "iterations"_a,
          "implementation"_a = 0,
          "Marginals of probabilities (A, K, N) float32 after mean-field iterations, the same shape.");
    m.def(
        "implementations",
        [] {
            std::vector<std::string> names;
            for (const Implementation& usable : implementations()) names.emplace_back(usable.name);
            return names;
        },
        "The instruction sets that this processor can run mean_field with, the fastest first.");
}
