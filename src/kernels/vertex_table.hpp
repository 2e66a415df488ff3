// The hash table of lattice vertices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace sbnet {

// Vertex keys -> vertex numbers 1, 2, ...: open addressing, never more than half full.
class VertexTable {
public:
    int32_t find(uint64_t key) const { return slots_[position(key)].vertex; }

    int32_t find_or_add(uint64_t key) {
        Slot& slot = slots_[position(key)];
        if (slot.vertex) return slot.vertex;
        if (keys.size() >= size_t{1} << 30) throw std::length_error("the image is too large for the lattice");
        keys.push_back(key);
        const auto vertex = static_cast<int32_t>(keys.size());
        slot = {key, vertex};
        if (2 * keys.size() > slots_.size()) grow();
        return vertex;
    }

    std::vector<uint64_t> keys;  // of vertex 1, 2, ...

private:
    struct Slot {
        uint64_t key;
        int32_t vertex;  // 0: free
    };

    size_t position(uint64_t key) const {
        size_t at = (key * 0x9E3779B97F4A7C15u) >> shift_;  // Fibonacci hashing
        while (slots_[at].vertex && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    void grow() {
        --shift_;
        slots_.assign(2 * slots_.size(), Slot{0, 0});
        for (size_t i = 0; i < keys.size(); ++i)
            slots_[position(keys[i])] = {keys[i], static_cast<int32_t>(i + 1)};
    }

    int shift_ = 64 - 14;
    std::vector<Slot> slots_ = std::vector<Slot>(size_t{1} << 14, Slot{0, 0});
};

}  // namespace sbnet
