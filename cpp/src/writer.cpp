#include "writer.h"

namespace ef {

Quantiser quantiser_of(const ef_input& input) {
  Quantiser q;
  const double scale = input.scale == 0 ? 1.0 / 128 : input.scale;
  const int low = input.dtype == EF_DTYPE_INT8 ? -128 : 0;
  bool same = true, flipped = true;
  for (int p = 0; p < 256; ++p) {
    double real = (p - 128) / 128.0 / scale;
    real = real > 1e6 ? 1e6 : real < -1e6 ? -1e6 : real;
    double v = round_even(real) + input.zero_point;
    v = v < low ? low : v > low + 255 ? low + 255 : v;
    q.table[p] = static_cast<uint8_t>(static_cast<int>(v));
    same = same && q.table[p] == p;
    flipped = flipped && q.table[p] == (p ^ 0x80);
  }
  q.flips = same || flipped;
  q.flip = flipped ? 0x80 : 0;
  return q;
}

}  // namespace ef
