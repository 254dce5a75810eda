// Takes numbers from the fuzzer's input; zeroes when it is used up.
#ifndef EDGEFACE_FUZZ_BYTES_H
#define EDGEFACE_FUZZ_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  template <typename T>
  T take() {
    T value;
    memset(&value, 0, sizeof value);
    const size_t n = size_ < sizeof value ? size_ : sizeof value;
    if (n) memcpy(&value, data_, n);
    data_ += n;
    size_ -= n;
    return value;
  }

  // Mostly in [low, high], now and then any 32-bit number.
  uint32_t number(uint32_t low, uint32_t high) {
    const uint8_t kind = take<uint8_t>();
    if (kind == 255) return take<uint32_t>();
    return low + (kind < 128 ? kind : take<uint16_t>()) % (high - low + 1);
  }

  // A heap block of exactly n bytes, so that AddressSanitizer sees the first byte past it; the rest of the input, repeated.
  uint8_t* block(size_t n) {
    uint8_t* p = static_cast<uint8_t*>(malloc(n ? n : 1));
    for (size_t i = 0; i < n; ++i) p[i] = size_ ? data_[i % size_] : static_cast<uint8_t>(i * 37);
    return p;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

#endif
