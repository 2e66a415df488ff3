#include "canny.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace sbnet {
namespace {

constexpr uint8_t weak = 1, edge = 255;
constexpr int tan_22 = 13573;  // tan(22.5 degrees) in 1/2^15

// Sobel gradient of the channel where |dx| + |dy| is largest, the first of equals. Magnitudes have a rim of zeros.
struct Gradient {
    explicit Gradient(const Canny& job)
        : pitch(job.columns + 2),
          dx(static_cast<size_t>(job.rows * job.columns)),
          dy(dx.size()),
          magnitude(static_cast<size_t>((job.rows + 2) * pitch)) {}

    int64_t pitch;
    std::vector<int16_t> dx, dy, magnitude;
};

// One row with a pixel more on either side, the outermost repeated: weighted sum and difference of the rows around it.
void vertical(const Canny& job, int64_t row, int16_t* sum, int16_t* difference) {
    const int64_t length = job.columns * job.channels;
    const uint8_t* here = job.image + row * length;
    const uint8_t* above = row ? here - length : here;
    const uint8_t* below = row + 1 < job.rows ? here + length : here;
    for (int64_t i = 0; i < length; ++i) {
        sum[i + job.channels] = static_cast<int16_t>(above[i] + 2 * here[i] + below[i]);
        difference[i + job.channels] = static_cast<int16_t>(below[i] - above[i]);
    }
    for (int16_t* values : {sum, difference})
        for (int c = 0; c < job.channels; ++c) {
            values[c] = values[c + job.channels];
            values[length + job.channels + c] = values[length + c];
        }
}

int16_t size(int16_t value) { return std::max(value, static_cast<int16_t>(-value)); }  // without leaving 16 bits

template <int channels>
void gradient(const Canny& job, Gradient& found) {
    const int64_t length = job.columns * channels;
    std::vector<int16_t> rows(static_cast<size_t>(5 * length + 4 * channels));
    int16_t *sum = rows.data(), *difference = sum + length + 2 * channels, *x = difference + length + 2 * channels;
    int16_t *y = x + length, *strength = y + length;
    for (int64_t row = 0; row < job.rows; ++row) {
        vertical(job, row, sum, difference);
        for (int64_t i = 0; i < length; ++i) {
            x[i] = static_cast<int16_t>(sum[i + 2 * channels] - sum[i]);
            y[i] = static_cast<int16_t>(difference[i] + 2 * difference[i + channels] + difference[i + 2 * channels]);
            strength[i] = static_cast<int16_t>(size(x[i]) + size(y[i]));
        }
        int16_t* dx = found.dx.data() + row * job.columns;
        int16_t* dy = found.dy.data() + row * job.columns;
        int16_t* magnitude = found.magnitude.data() + (row + 1) * found.pitch + 1;
        for (int64_t i = 0; i < job.columns; ++i) {
            int64_t best = i * channels;
            for (int c = 1; c < channels; ++c) best = strength[i * channels + c] > strength[best] ? i * channels + c : best;
            dx[i] = x[best];
            dy[i] = y[best];
            magnitude[i] = strength[best];
        }
    }
}

// Marks maxima along the gradient: `edge` above `high`, whose places are listed, `weak` above `low`.
std::vector<int64_t> maxima(const Canny& job, const Gradient& found) {
    std::vector<int64_t> strong;
    for (int64_t row = 0; row < job.rows; ++row)
        for (int64_t column = 0; column < job.columns; ++column) {
            const int64_t place = row * job.columns + column;
            const int16_t* here = found.magnitude.data() + (row + 1) * found.pitch + column + 1;
            job.edges[place] = 0;
            if (*here <= job.low) continue;
            const int dx = found.dx[static_cast<size_t>(place)], dy = found.dy[static_cast<size_t>(place)];
            const int across = std::abs(dx) * tan_22, along = across + (std::abs(dx) << 16), ay = std::abs(dy) << 15;
            const bool diagonal = ay >= across && ay <= along;
            int64_t step = (dx ^ dy) < 0 ? found.pitch - 1 : found.pitch + 1;
            if (ay < across) step = 1;
            if (ay > along) step = found.pitch;
            // As OpenCV: of two equal neighbours along an axis the first is the maximum, on a diagonal neither.
            if (*here <= here[-step] || *here < here[step] + diagonal) continue;
            job.edges[place] = *here > job.high ? edge : weak;
            if (*here > job.high) strong.push_back(place);
        }
    return strong;
}

// Turns weak places that touch an edge (8 neighbours) into edges; the others are none.
void connect(const Canny& job, std::vector<int64_t> pending) {
    while (!pending.empty()) {
        const int64_t row = pending.back() / job.columns, column = pending.back() % job.columns;
        pending.pop_back();
        for (int64_t y = std::max<int64_t>(row - 1, 0); y <= std::min(row + 1, job.rows - 1); ++y)
            for (int64_t x = std::max<int64_t>(column - 1, 0); x <= std::min(column + 1, job.columns - 1); ++x) {
                uint8_t& neighbour = job.edges[y * job.columns + x];
                if (neighbour != weak) continue;
                neighbour = edge;
                pending.push_back(y * job.columns + x);
            }
    }
    for (int64_t i = 0; i < job.rows * job.columns; ++i) job.edges[i] = job.edges[i] == edge ? edge : 0;
}

}  // namespace

void canny(const Canny& job) {
    Gradient found(job);
    if (job.channels == 3)
        gradient<3>(job, found);
    else
        gradient<1>(job, found);
    connect(job, maxima(job, found));
}

}  // namespace sbnet
