// The table of row kernels. Every table computes the same integers: the scalar one is the definition, the others must equal it bit for bit.
#ifndef EDGEFACE_SRC_KERNELS_H
#define EDGEFACE_SRC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "edgeface/edgeface.h"

namespace ef {

// Two horizontal taps of one output pixel: element offset of the first, weights (sum 128) of both packed as w0 | w1 << 16.
struct Taps {
  const int32_t* offset;
  const uint32_t* weights;
};

// YUV to RGB in 16-bit fixed point: y' = mulhrs((y - y_offset) << 7, y_gain), chroma = mulhrs((c - 128) << 8, gain), all with 6 fraction
// bits, mulhrs(a, b) = (a * b + 2^14) >> 15 (x86 pmulhrsw, ARM sqrdmulh).
struct YuvCoefficients {
  int16_t y_offset;
  int16_t y_gain;                              // Q14
  int16_t red_v, green_u, green_v, blue_u;     // Q13; the green ones are subtracted
};

struct Kernels {
  ef_isa isa;

  // out[i] = a[i] * (128 - w) + b[i] * w, 0 <= w <= 128
  void (*blend_rows)(const uint8_t* a, const uint8_t* b, int w, int n, uint16_t* out);

  // out_c[i] = (row[o + c] * w0 + row[o + channels + c] * w1 + 8192) >> 14, o = taps.offset[i]. Reads up to 8 elements from row + o: the
  // caller's row is padded by 16.
  void (*resample1)(const uint16_t* row, Taps taps, int n, uint8_t* out);
  void (*resample2)(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1);
  void (*resample3)(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2);

  // The same from the rows themselves, for frames that shrink so much that blending every element would be a waste: blend_rows by w and
  // resample in one. Offsets are in bytes; reads 4 (two channels) or 8 (three) bytes of a and b from each.
  void (*direct2)(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1);
  void (*direct3)(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2);

  // Mean of 2 x 2 pixels, (sum + 2) >> 2: what bilinear is at a ratio of exactly 2. n outputs from 2 n pixels of each row.
  void (*half1)(const uint8_t* a, const uint8_t* b, int n, uint8_t* out);
  void (*half2)(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1);
  void (*half3)(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2);

  // n pairs of packed 4:2:2 pixels to 2 n luma bytes and n chroma pairs
  void (*split_yuyv)(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv);
  void (*split_uyvy)(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv);

  // sum[i] += row[i]
  void (*accumulate)(const uint8_t* row, int n, uint16_t* sum);

  void (*yuv_to_rgb)(const uint8_t* y, const uint8_t* u, const uint8_t* v, int n, const YuvCoefficients& k, uint8_t* r, uint8_t* g, uint8_t* b);

  // out[i] = in[i] ^ flip (flip 0x80 turns p into the int8 p - 128)
  void (*copy_flip)(const uint8_t* in, int n, uint8_t flip, uint8_t* out);
  void (*interleave_flip)(const uint8_t* c0, const uint8_t* c1, const uint8_t* c2, int n, uint8_t flip, uint8_t* out);
  // out[i] = (in[i] - 128) / 128, exact
  void (*to_float)(const uint8_t* in, int n, float* out);
  void (*reverse)(uint8_t* row, int n);
  // out[x * out_stride + y] = in[y * in_stride + x] for x < columns, y < rows
  void (*transpose)(const uint8_t* in, ptrdiff_t in_stride, int columns, int rows, uint8_t* out, ptrdiff_t out_stride);

};

extern const Kernels kScalar;
#if defined(EF_HAVE_AVX2)
extern const Kernels kAvx2;
#endif
#if defined(EF_HAVE_NEON)
extern const Kernels kNeon;
#endif

// nullptr where this build or this CPU does not have it.
const Kernels* kernels_for(ef_isa isa);
const Kernels* best_kernels();
// nullptr for an unknown or unavailable name.
const Kernels* kernels_by_name(const char* name);

}  // namespace ef
#endif
