// Memory that faults on the first byte past its end (or before its start): how an over-read is found without a sanitizer.
#ifndef EDGEFACE_TESTS_GUARDED_H
#define EDGEFACE_TESTS_GUARDED_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

class Guarded {
 public:
  // at_end: the last byte is the last of its page; else the first byte is the first of its page.
  explicit Guarded(size_t size, bool at_end = true) : size_(size), page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    length_ = (size + page_ - 1) / page_ * page_;
    base_ = static_cast<uint8_t*>(mmap(nullptr, length_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || (length_ && mprotect(base_ + page_, length_, PROT_READ | PROT_WRITE))) {
      perror("guarded memory");
      abort();
    }
    data_ = base_ + page_ + (at_end ? length_ - size : 0);
  }
  ~Guarded() { munmap(base_, length_ + 2 * page_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  template <typename T = uint8_t>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  size_t size_, page_, length_;
  uint8_t* base_;
  uint8_t* data_;
};

// xorshift: the same numbers on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>(state_ >> 32);
  }
  uint32_t below(uint32_t n) { return next() % n; }
  void fill(uint8_t* p, size_t n) {
    for (size_t i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(next());
  }

 private:
  uint64_t state_;
};

#define EXPECT(condition, ...)                                                     \
  do {                                                                             \
    if (!(condition)) {                                                            \
      fprintf(stderr, "%s:%d: " #condition ": ", __FILE__, __LINE__);              \
      fprintf(stderr, __VA_ARGS__);                                                \
      fputc('\n', stderr);                                                         \
      exit(1);                                                                     \
    }                                                                              \
  } while (0)

#endif
