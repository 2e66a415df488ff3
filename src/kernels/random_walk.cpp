// Compiled once per instruction set, under the name SBNET_RANDOM_WALK; like mean_field.cpp, without the standard
// library's templates.
//
// The transition matrix has 2 P diagonals beside its main one. For a vector of neighbouring pixels their values lie
// together, in `spread`, so that a step reads them once, in order, for up to four maps.

#include "random_walk.hpp"

#include <stdint.h>
#include <string.h>

namespace sbnet {
namespace {

#ifdef __AVX512F__
constexpr int vector_bytes = 64;
#else
constexpr int vector_bytes = 32;
#endif

template <typename T>
class Walker {
    typedef T Vector __attribute__((vector_size(vector_bytes), may_alias));
    typedef T Unaligned __attribute__((vector_size(vector_bytes), may_alias, aligned(sizeof(T))));
    static constexpr int lanes = vector_bytes / sizeof(T);

public:
    explicit Walker(const RandomWalk<T>& job)
        : job_(job), now_(job.now), after_(job.after), terms_(2 * job.offsets), row_(job.padded_columns + 2 * job.margin) {}

    void run() {
        fill_spread();
        read();
        for (int step = 0; step < job_.steps; ++step) {
            int k = 0;
            for (; k + 4 <= job_.labels; k += 4) walk<4>(k);
            if (job_.labels - k == 3) walk<3>(k);
            if (job_.labels - k == 2) walk<2>(k);
            if (job_.labels - k == 1) walk<1>(k);
            T* old = now_;
            now_ = after_;
            after_ = old;
        }
        write();
    }

private:
    // Of a padded map: pixel (y, x).
    size_t at(int y, int x) const { return static_cast<size_t>(y + job_.margin) * row_ + x + job_.margin; }

    // Of `spread`: terms 2 p and 2 p + 1 of pixel (y, x) are its neighbours at offset p and opposite.
    T& share(int y, int x, int t) const {
        const size_t block = (static_cast<size_t>(y) * job_.padded_columns + x) / lanes;
        return job_.spread[(block * terms_ + t) * lanes + x % lanes];
    }

    void fill_spread() const {
        memset(job_.spread, 0, static_cast<size_t>(job_.rows) * job_.padded_columns * terms_ * sizeof(T));
        const int border = job_.margin;
        const T* weight = job_.weights;
        for (int p = 0; p < job_.offsets; ++p) {
            const int dy = job_.offset_y[p], dx = job_.offset_x[p];
            for (int y = 0; y < job_.rows - border; ++y)
                for (int x = border; x < job_.columns - border; ++x, ++weight) {
                    share(y, x, 2 * p) = *weight;
                    share(y + dy, x + dx, 2 * p + 1) = *weight;
                }
        }
        for (int y = 0; y < job_.rows; ++y)
            for (int x = 0; x < job_.columns; ++x) {
                double sum = 1;
                for (int t = 0; t < terms_; ++t) sum += share(y, x, t);
                for (int t = 0; t < terms_; ++t) share(y, x, t) = static_cast<T>(share(y, x, t) / sum);
            }
    }

    void read() const {
        const size_t bytes = job_.labels * job_.map_size * sizeof(T);
        memset(job_.now, 0, bytes);
        memset(job_.after, 0, bytes);
        for (int k = 0; k < job_.labels; ++k)
            for (int y = 0; y < job_.rows; ++y)
                memcpy(job_.now + k * job_.map_size + at(y, 0),
                       job_.scores + (static_cast<size_t>(k) * job_.rows + y) * job_.columns,
                       job_.columns * sizeof(T));
    }

    void write() const {
        for (int k = 0; k < job_.labels; ++k)
            for (int y = 0; y < job_.rows; ++y)
                memcpy(job_.result + (static_cast<size_t>(k) * job_.rows + y) * job_.columns,
                       now_ + k * job_.map_size + at(y, 0), job_.columns * sizeof(T));
    }

    // One step of maps k to k + MAPS: x + sum of share (neighbour - x), which is as good as sum of share neighbour, and
    // does not drift: where a map is flat, nothing is added. Several sums, since one alone waits for each product.
    template <int MAPS>
    void walk(int k) const {
        constexpr int sums = MAPS == 1 ? 6 : MAPS == 2 ? 4 : 2;
        const size_t map = job_.map_size;
        const T* share = job_.spread;
        for (int y = 0; y < job_.rows; ++y)
            for (int x = 0; x < job_.padded_columns; x += lanes, share += terms_ * lanes) {
                const T* from = now_ + k * map + at(y, x);
                Vector centre[MAPS], sum[MAPS][sums] = {};
                for (int m = 0; m < MAPS; ++m) centre[m] = load(from + m * map);
                int p = 0;
                for (; p + sums / 2 <= job_.offsets; p += sums / 2)
                    for (int i = 0; i < sums / 2; ++i) add<MAPS>(sum, centre, from, share, p + i, 2 * i);
                for (; p < job_.offsets; ++p) add<MAPS>(sum, centre, from, share, p, 0);
                for (int m = 0; m < MAPS; ++m) {
                    for (int i = 1; i < sums; ++i) sum[m][0] += sum[m][i];
                    *reinterpret_cast<Unaligned*>(after_ + (k + m) * map + at(y, x)) = centre[m] + sum[m][0];
                }
            }
    }

    // Both neighbours of offset p, into sums i and i + 1.
    template <int MAPS, int SUMS>
    void add(Vector (&sum)[MAPS][SUMS], const Vector (&centre)[MAPS], const T* from, const T* share, int p,
             int i) const {
        const ptrdiff_t away = static_cast<ptrdiff_t>(job_.offset_y[p]) * row_ + job_.offset_x[p];
        const Vector there = vector(share + 2 * p * lanes), back = vector(share + (2 * p + 1) * lanes);
        for (int m = 0; m < MAPS; ++m) {
            const T* at = from + m * job_.map_size;
            sum[m][i] += there * (load(at + away) - centre[m]);
            sum[m][i + 1] += back * (load(at - away) - centre[m]);
        }
    }

    static Vector load(const T* at) { return *reinterpret_cast<const Unaligned*>(at); }
    static Vector vector(const T* at) { return *reinterpret_cast<const Vector*>(at); }

    const RandomWalk<T>& job_;
    T *now_, *after_;
    const int terms_, row_;
};

}  // namespace

void SBNET_RANDOM_WALK(const RandomWalk<float>& job) { Walker<float>(job).run(); }
void SBNET_RANDOM_WALK(const RandomWalk<double>& job) { Walker<double>(job).run(); }

}  // namespace sbnet
