// NEON kernels for aarch64 and armv7, equal to kernels_scalar.cpp bit for bit.
//
// Tails are handled as in kernels_avx2.cpp: the last vector is moved back to end with the row; shorter rows go to the scalar kernel.
#include <arm_neon.h>

#include "kernels.h"

namespace ef {
namespace {

template <int kStep, typename Body>
inline bool for_blocks(int n, Body body) {
  if (n < kStep) return false;
  int i = 0;
  for (; i + kStep <= n; i += kStep) body(i);
  if (i < n) body(n - kStep);
  return true;
}

void blend_rows(const uint8_t* a, const uint8_t* b, int w, int n, uint16_t* out) {
  const uint8x8_t wa = vdup_n_u8(static_cast<uint8_t>(128 - w)), wb = vdup_n_u8(static_cast<uint8_t>(w));
  const bool done = for_blocks<16>(n, [&](int i) {
    const uint8x16_t x = vld1q_u8(a + i), y = vld1q_u8(b + i);
    vst1q_u16(out + i, vmlal_u8(vmull_u8(vget_low_u8(x), wa), vget_low_u8(y), wb));
    vst1q_u16(out + i + 8, vmlal_u8(vmull_u8(vget_high_u8(x), wa), vget_high_u8(y), wb));
  });
  if (!done) kScalar.blend_rows(a, b, w, n, out);
}

inline uint32x4_t pair_sums(uint32x4_t low, uint32x4_t high) {
#if defined(__aarch64__)
  return vpaddq_u32(low, high);
#else
  return vcombine_u32(vpadd_u32(vget_low_u32(low), vget_high_u32(low)), vpadd_u32(vget_low_u32(high), vget_high_u32(high)));
#endif
}

// Four bytes at any address; becomes a load of one lane.
inline uint32_t load32(const void* p) {
  uint32_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// The word pair at p as one 32-bit lane: both taps of a single channel.
template <int kLane>
inline uint32x4_t load_pair(const uint16_t* p, uint32x4_t v) {
  return vsetq_lane_u32(load32(p), v, kLane);
}

// Four pixels of one channel, rounded to words.
inline uint16x4_t pixels1(const uint16_t* row, Taps taps, int i) {
  const int32_t* o = taps.offset + i;
  uint32x4_t lanes = vdupq_n_u32(0);
  lanes = load_pair<0>(row + o[0], lanes);
  lanes = load_pair<1>(row + o[1], lanes);
  lanes = load_pair<2>(row + o[2], lanes);
  lanes = load_pair<3>(row + o[3], lanes);
  const uint16x8_t pairs = vreinterpretq_u16_u32(lanes), weights = vreinterpretq_u16_u32(vld1q_u32(taps.weights + i));
  const uint32x4_t low = vmull_u16(vget_low_u16(pairs), vget_low_u16(weights)), high = vmull_u16(vget_high_u16(pairs), vget_high_u16(weights));
  return vrshrn_n_u32(pair_sums(low, high), 14);
}

void resample1(const uint16_t* row, Taps taps, int n, uint8_t* out) {
  const bool done = for_blocks<8>(n, [&](int i) { vst1_u8(out + i, vmovn_u16(vcombine_u16(pixels1(row, taps, i), pixels1(row, taps, i + 4)))); });
  if (!done) kScalar.resample1(row, taps, n, out);
}

// Where the resamplers take the blended words of a pixel's taps from: a blended row, or two rows that are blended on the way.
struct Blended {
  const uint16_t* row;

  uint16x8_t two2(const int32_t* o) const { return vcombine_u16(vld1_u16(row + o[0]), vld1_u16(row + o[1])); }  // a0 b0 a1 b1, twice
  uint16x8_t one3(int32_t o) const { return vld1q_u16(row + o); }                                                // a0 b0 c0 a1 b1 c1 . .
};

struct Direct {
  const uint8_t *a, *b;
  uint8x8_t wa, wb;

  Direct(const uint8_t* first, const uint8_t* second, int w)
      : a(first), b(second), wa(vdup_n_u8(static_cast<uint8_t>(128 - w))), wb(vdup_n_u8(static_cast<uint8_t>(w))) {}
  uint16x8_t blend(uint8x8_t x, uint8x8_t y) const { return vmlal_u8(vmull_u8(x, wa), y, wb); }
  static uint8x8_t two(const uint8_t* p, const int32_t* o) {
    return vreinterpret_u8_u32(vset_lane_u32(load32(p + o[1]), vdup_n_u32(load32(p + o[0])), 1));
  }
  uint16x8_t two2(const int32_t* o) const { return blend(two(a, o), two(b, o)); }
  uint16x8_t one3(int32_t o) const { return blend(vld1_u8(a + o), vld1_u8(b + o)); }
};

// Two pixels of two channels, words a b a b.
template <typename Source>
inline uint16x4_t pixels2(const Source& source, Taps taps, int i) {
  const uint16x8_t both = source.two2(taps.offset + i);
  const uint16x4_t p = vget_low_u16(both), q = vget_high_u16(both);
  const uint16x4_t w = vreinterpret_u16_u32(vld1_u32(taps.weights + i));  // w0 w1 of both
  const uint32x2_t first = vreinterpret_u32_u16(p), second = vreinterpret_u32_u16(q);
  const uint16x4_t near = vreinterpret_u16_u32(vzip_u32(first, second).val[0]), far = vreinterpret_u16_u32(vzip_u32(first, second).val[1]);
  const uint16x4x2_t weights = vtrn_u16(w, w);  // w0 w0 of both pixels, w1 w1 of both
  return vrshrn_n_u32(vmlal_u16(vmull_u16(near, weights.val[0]), far, weights.val[1]), 14);
}

template <typename Source>
inline bool channels2(const Source& source, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  return for_blocks<8>(n, [&](int i) {
    const uint8x8_t low = vmovn_u16(vcombine_u16(pixels2(source, taps, i), pixels2(source, taps, i + 2)));
    const uint8x8_t high = vmovn_u16(vcombine_u16(pixels2(source, taps, i + 4), pixels2(source, taps, i + 6)));
    const uint8x8x2_t split = vuzp_u8(low, high);
    vst1_u8(out0 + i, split.val[0]);
    vst1_u8(out1 + i, split.val[1]);
  });
}

void resample2(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  if (!channels2(Blended{row}, taps, n, out0, out1)) kScalar.resample2(row, taps, n, out0, out1);
}

void direct2(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  if (!channels2(Direct(a, b, w), taps, n, out0, out1)) kScalar.direct2(a, b, w, taps, n, out0, out1);
}

// Two pixels of three channels: bytes a b c and a fourth without meaning, twice.
template <typename Source>
inline uint8x8_t two_pixels3(const Source& source, Taps taps, int i) {
  const uint16x4_t w = vreinterpret_u16_u32(vld1_u32(taps.weights + i));
  const uint16x8_t six = source.one3(taps.offset[i]), next = source.one3(taps.offset[i + 1]);
  const uint16x4_t first =
      vrshrn_n_u32(vmlal_lane_u16(vmull_lane_u16(vget_low_u16(six), w, 0), vget_low_u16(vextq_u16(six, six, 3)), w, 1), 14);
  const uint16x4_t second =
      vrshrn_n_u32(vmlal_lane_u16(vmull_lane_u16(vget_low_u16(next), w, 2), vget_low_u16(vextq_u16(next, next, 3)), w, 3), 14);
  return vmovn_u16(vcombine_u16(first, second));  // a b c . a b c .
}

template <typename Source>
inline bool channels3(const Source& source, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  return for_blocks<8>(n, [&](int i) {
    const uint8x16_t front = vcombine_u8(two_pixels3(source, taps, i), two_pixels3(source, taps, i + 2));
    const uint8x16_t back = vcombine_u8(two_pixels3(source, taps, i + 4), two_pixels3(source, taps, i + 6));
    const uint8x16x2_t ac_b = vuzpq_u8(front, back);  // a c a c ... of 8 pixels; b . b . ...
    const uint8x8x2_t a_c = vuzp_u8(vget_low_u8(ac_b.val[0]), vget_high_u8(ac_b.val[0]));
    const uint8x8x2_t b = vuzp_u8(vget_low_u8(ac_b.val[1]), vget_high_u8(ac_b.val[1]));
    vst1_u8(out0 + i, a_c.val[0]);
    vst1_u8(out1 + i, b.val[0]);
    vst1_u8(out2 + i, a_c.val[1]);
  });
}

void resample3(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  if (!channels3(Blended{row}, taps, n, out0, out1, out2)) kScalar.resample3(row, taps, n, out0, out1, out2);
}

void direct3(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  if (!channels3(Direct(a, b, w), taps, n, out0, out1, out2)) kScalar.direct3(a, b, w, taps, n, out0, out1, out2);
}

// Eight 2 x 2 means of one channel from sixteen bytes of both rows.
inline uint8x8_t means(uint8x16_t a, uint8x16_t b) { return vrshrn_n_u16(vpadalq_u8(vpaddlq_u8(a), b), 2); }

void half1(const uint8_t* a, const uint8_t* b, int n, uint8_t* out) {
  const bool done = for_blocks<16>(n, [&](int i) {
    const uint8x8_t low = means(vld1q_u8(a + 2 * i), vld1q_u8(b + 2 * i)), high = means(vld1q_u8(a + 2 * i + 16), vld1q_u8(b + 2 * i + 16));
    vst1q_u8(out + i, vcombine_u8(low, high));
  });
  if (!done) kScalar.half1(a, b, n, out);
}

void half2(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1) {
  const bool done = for_blocks<8>(n, [&](int i) {
    const uint8x16x2_t x = vld2q_u8(a + 4 * i), y = vld2q_u8(b + 4 * i);
    vst1_u8(out0 + i, means(x.val[0], y.val[0]));
    vst1_u8(out1 + i, means(x.val[1], y.val[1]));
  });
  if (!done) kScalar.half2(a, b, n, out0, out1);
}

void half3(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  const bool done = for_blocks<8>(n, [&](int i) {
    const uint8x16x3_t x = vld3q_u8(a + 6 * i), y = vld3q_u8(b + 6 * i);
    vst1_u8(out0 + i, means(x.val[0], y.val[0]));
    vst1_u8(out1 + i, means(x.val[1], y.val[1]));
    vst1_u8(out2 + i, means(x.val[2], y.val[2]));
  });
  if (!done) kScalar.half3(a, b, n, out0, out1, out2);
}

void split_yuyv(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv) {
  const bool done = for_blocks<8>(n, [&](int i) {
    const uint8x16x2_t v = vld2q_u8(packed + 4 * i);
    vst1q_u8(y + 2 * i, v.val[0]);
    vst1q_u8(uv + 2 * i, v.val[1]);
  });
  if (!done) kScalar.split_yuyv(packed, n, y, uv);
}

void split_uyvy(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv) { split_yuyv(packed, n, uv, y); }

void accumulate(const uint8_t* row, int n, uint16_t* sum) {
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    const uint8x16_t v = vld1q_u8(row + i);
    vst1q_u16(sum + i, vaddw_u8(vld1q_u16(sum + i), vget_low_u8(v)));
    vst1q_u16(sum + i + 8, vaddw_u8(vld1q_u16(sum + i + 8), vget_high_u8(v)));
  }
  kScalar.accumulate(row + i, n - i, sum + i);
}

void yuv_to_rgb(const uint8_t* y, const uint8_t* u, const uint8_t* v, int n, const YuvCoefficients& k, uint8_t* r, uint8_t* g, uint8_t* b) {
  const uint8x8_t offset = vdup_n_u8(static_cast<uint8_t>(k.y_offset)), centre = vdup_n_u8(128);
  const int16x8_t half = vdupq_n_s16(32);
  const bool done = for_blocks<8>(n, [&](int i) {
    const int16x8_t luma = vaddq_s16(vqrdmulhq_n_s16(vshlq_n_s16(vreinterpretq_s16_u16(vsubl_u8(vld1_u8(y + i), offset)), 7), k.y_gain), half);
    const int16x8_t cu = vshlq_n_s16(vreinterpretq_s16_u16(vsubl_u8(vld1_u8(u + i), centre)), 8);
    const int16x8_t cv = vshlq_n_s16(vreinterpretq_s16_u16(vsubl_u8(vld1_u8(v + i), centre)), 8);
    const int16x8_t green = vaddq_s16(vqrdmulhq_n_s16(cu, k.green_u), vqrdmulhq_n_s16(cv, k.green_v));
    // Saturation cannot be seen: what saturates is 255 or 0 in the end.
    vst1_u8(r + i, vqshrun_n_s16(vqaddq_s16(luma, vqrdmulhq_n_s16(cv, k.red_v)), 6));
    vst1_u8(g + i, vqshrun_n_s16(vqsubq_s16(luma, green), 6));
    vst1_u8(b + i, vqshrun_n_s16(vqaddq_s16(luma, vqrdmulhq_n_s16(cu, k.blue_u)), 6));
  });
  if (!done) kScalar.yuv_to_rgb(y, u, v, n, k, r, g, b);
}

void copy_flip(const uint8_t* in, int n, uint8_t flip, uint8_t* out) {
  const uint8x16_t f = vdupq_n_u8(flip);
  const bool done = for_blocks<16>(n, [&](int i) { vst1q_u8(out + i, veorq_u8(vld1q_u8(in + i), f)); });
  if (!done) kScalar.copy_flip(in, n, flip, out);
}

void interleave_flip(const uint8_t* c0, const uint8_t* c1, const uint8_t* c2, int n, uint8_t flip, uint8_t* out) {
  const uint8x16_t f = vdupq_n_u8(flip);
  const bool done = for_blocks<16>(n, [&](int i) {
    const uint8x16x3_t v = {{veorq_u8(vld1q_u8(c0 + i), f), veorq_u8(vld1q_u8(c1 + i), f), veorq_u8(vld1q_u8(c2 + i), f)}};
    vst3q_u8(out + 3 * i, v);
  });
  if (!done) kScalar.interleave_flip(c0, c1, c2, n, flip, out);
}

void to_float(const uint8_t* in, int n, float* out) {
  const uint8x8_t centre = vdup_n_u8(128);
  const bool done = for_blocks<8>(n, [&](int i) {
    const int16x8_t v = vreinterpretq_s16_u16(vsubl_u8(vld1_u8(in + i), centre));
    vst1q_f32(out + i, vcvtq_n_f32_s32(vmovl_s16(vget_low_s16(v)), 7));
    vst1q_f32(out + i + 4, vcvtq_n_f32_s32(vmovl_s16(vget_high_s16(v)), 7));
  });
  if (!done) kScalar.to_float(in, n, out);
}

inline uint8x16_t reversed(uint8x16_t v) {
  const uint8x16_t halves = vrev64q_u8(v);
  return vextq_u8(halves, halves, 8);
}

void reverse(uint8_t* row, int n) {
  int i = 0, j = n - 16;
  for (; i + 16 <= j; i += 16, j -= 16) {
    const uint8x16_t a = vld1q_u8(row + i), b = vld1q_u8(row + j);
    vst1q_u8(row + i, reversed(b));
    vst1q_u8(row + j, reversed(a));
  }
  kScalar.reverse(row + i, j + 16 - i);
}

// Sixteen by sixteen bytes: four rounds of interleaving row r with row r + 8 transpose the block.
inline void transpose16(const uint8_t* in, ptrdiff_t in_stride, uint8_t* out, ptrdiff_t out_stride) {
  uint8x16_t a[16], b[16];
  for (int r = 0; r < 16; ++r) a[r] = vld1q_u8(in + r * in_stride);
  for (int round = 0; round < 4; ++round) {
    for (int r = 0; r < 8; ++r) {
      const uint8x16x2_t z = vzipq_u8(a[r], a[r + 8]);
      b[2 * r] = z.val[0];
      b[2 * r + 1] = z.val[1];
    }
    for (int r = 0; r < 16; ++r) a[r] = b[r];
  }
  for (int r = 0; r < 16; ++r) vst1q_u8(out + r * out_stride, a[r]);
}

void transpose(const uint8_t* in, ptrdiff_t in_stride, int columns, int rows, uint8_t* out, ptrdiff_t out_stride) {
  bool done = rows == 16;
  if (done) done = for_blocks<16>(columns, [&](int x) { transpose16(in + x, in_stride, out + x * out_stride, out_stride); });
  if (!done) kScalar.transpose(in, in_stride, columns, rows, out, out_stride);
}

}  // namespace

const Kernels kNeon = {EF_ISA_NEON, blend_rows, resample1, resample2, resample3, direct2, direct3, half1, half2, half3, split_yuyv, split_uyvy,
                        accumulate, yuv_to_rgb, copy_flip, interleave_flip, to_float, reverse, transpose};

}  // namespace ef
