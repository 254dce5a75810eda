// exp and sigmoid in double precision without libm: the same bits on every platform (-ffp-contract=off), within 1e-15 of the true value.
#ifndef EDGEFACE_SRC_MATH_H
#define EDGEFACE_SRC_MATH_H

#include <stdint.h>
#include <string.h>

namespace ef {

// |x| is clamped to 700.
inline double exp64(double x) {
  x = x > 700 ? 700 : x < -700 ? -700 : x;
  const double scaled = x * 1.4426950408889634;  // x / ln 2
  const int k = static_cast<int>(scaled + (scaled < 0 ? -0.5 : 0.5));
  const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;  // ln 2 in two parts (Cody & Waite)
  double sum = 1;
  for (int i = 13; i >= 1; --i) sum = 1 + sum * r / i;
  const uint64_t bits = static_cast<uint64_t>(1023 + k) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return sum * power;
}

inline float sigmoid(float x) { return static_cast<float>(1.0 / (1.0 + exp64(-static_cast<double>(x)))); }

inline bool finite(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7f800000u) != 0x7f800000u;
}

}  // namespace ef
#endif
