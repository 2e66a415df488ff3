// Canny edge maps; see sbnet/ops/canny.py for the formulas.
#pragma once

#include <cstdint>

namespace sbnet {

struct Canny {
    int64_t rows, columns;
    int channels;          // 1 or 3
    const uint8_t* image;  // rows x columns x channels
    int low, high;         // thresholds on |dx| + |dy|
    uint8_t* edges;        // rows x columns, 0 or 255
};

void canny(const Canny& job);

}  // namespace sbnet
