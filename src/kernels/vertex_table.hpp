// The hash table of lattice vertices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace sbnet {

// Vertex keys -> vertex numbers 1, 2, ...: open addressing, never more than a quarter full. A slot holds the number
// alone: neighbours in the image have neighbouring numbers, so that their keys lie in the cache.
class VertexTable {
public:
    // 0 where there is none.
    int32_t find(uint64_t key) const { return slots_[position(key)]; }

    int32_t find_or_add(uint64_t key) {
        const size_t at = position(key);
        if (const int32_t vertex = slots_[at]) return vertex;
        return add(key, at);
    }

    int32_t vertices() const { return static_cast<int32_t>(keys_.size() - 1); }
    uint64_t key(int32_t vertex) const { return keys_[vertex]; }

private:
    size_t position(uint64_t key) const {
        size_t at = (key * 0x9E3779B97F4A7C15u) >> shift_;  // Fibonacci hashing
        while (slots_[at] && keys_[slots_[at]] != key) at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    int32_t add(uint64_t key, size_t at) {
        if (keys_.size() >= size_t{1} << 30) throw std::length_error("the image is too large for the lattice");
        keys_.push_back(key);
        slots_[at] = vertices();
        if (4 * keys_.size() > slots_.size()) grow();
        return vertices();
    }

    void grow() {
        shift_ -= 2;
        slots_.assign(4 * slots_.size(), 0);
        for (int32_t vertex = 1; vertex <= vertices(); ++vertex) slots_[position(keys_[vertex])] = vertex;
    }

    int shift_ = 64 - 14;
    std::vector<int32_t> slots_ = std::vector<int32_t>(size_t{1} << 14, 0);  // 0: free
    std::vector<uint64_t> keys_ = {0};                                        // of vertex 1, 2, ...
};

}  // namespace sbnet
