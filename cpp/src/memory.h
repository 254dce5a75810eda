// Whether the memory that a caller describes by a pointer and steps lies within the address space, before a pointer is moved.
#ifndef EDGEFACE_SRC_MEMORY_H
#define EDGEFACE_SRC_MEMORY_H

#include <stddef.h>
#include <stdint.h>

namespace ef {

struct Extent {
  uint32_t count;  // at least 1
  ptrdiff_t step;  // in items; any sign
};

// Steps that lead farther lead nowhere: no 64-bit CPU has more than 57 bits of addresses.
constexpr ptrdiff_t kLargest = sizeof(void*) > 4 ? PTRDIFF_MAX >> 7 : PTRDIFF_MAX;

// True where base + every combination of steps, `item` bytes each, can be reached without a wrap, and is not absurdly far.
template <size_t N>
bool reachable(const void* base, size_t item, const Extent (&extents)[N]) {
  ptrdiff_t low = 0, high = 0;
  for (const Extent& e : extents) {
    ptrdiff_t span;
    if (__builtin_mul_overflow(e.step, static_cast<ptrdiff_t>(e.count - 1), &span)) return false;
    if (__builtin_mul_overflow(span, static_cast<ptrdiff_t>(item), &span)) return false;
    if (__builtin_add_overflow(span < 0 ? low : high, span, span < 0 ? &low : &high)) return false;
  }
  if (__builtin_add_overflow(high, static_cast<ptrdiff_t>(item), &high)) return false;
  if (high > kLargest || low < -kLargest) return false;
  const uintptr_t address = reinterpret_cast<uintptr_t>(base);
  return static_cast<uintptr_t>(high) <= UINTPTR_MAX - address && uintptr_t{0} - static_cast<uintptr_t>(low) <= address;
}

}  // namespace ef
#endif
