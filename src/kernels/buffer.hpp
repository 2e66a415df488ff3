// Memory for large arrays.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sbnet {

// Numbers that begin at a cache line, not set to anything. A large buffer asks for huge pages: the first touch of
// thousands of small ones takes longer than many a pass over them.
template <typename T>
class Buffer {
public:
    Buffer() = default;

    explicit Buffer(size_t size) {
        const size_t bytes = size * sizeof(T);
        const auto alignment = std::align_val_t(bytes < huge_page ? cache_line : huge_page);
        data_ = {static_cast<T*>(::operator new[](bytes, alignment)), Delete{alignment}};
#ifdef MADV_HUGEPAGE
        if (bytes >= huge_page) madvise(data_.get(), bytes, MADV_HUGEPAGE);  // advice: it may fail
#endif
    }

    T* get() const { return data_.get(); }

private:
    static constexpr size_t cache_line = 64, huge_page = size_t{1} << 21;

    struct Delete {
        std::align_val_t alignment{};
        void operator()(T* pointer) const { ::operator delete[](pointer, alignment); }
    };
    std::unique_ptr<T[], Delete> data_;
};

}  // namespace sbnet
