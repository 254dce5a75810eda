// The scalar kernels: the definition of every integer that the library produces.
#include "kernels.h"

namespace ef {
namespace {

void blend_rows(const uint8_t* a, const uint8_t* b, int w, int n, uint16_t* out) {
  for (int i = 0; i < n; ++i) out[i] = static_cast<uint16_t>(a[i] * (128 - w) + b[i] * w);
}

template <int kChannels>
inline uint8_t tap(const uint16_t* row, Taps taps, int i, int channel) {
  const uint16_t* p = row + taps.offset[i] + channel;
  const uint32_t w = taps.weights[i];
  return static_cast<uint8_t>((p[0] * (w & 0xffff) + p[kChannels] * (w >> 16) + 8192) >> 14);
}

void resample1(const uint16_t* row, Taps taps, int n, uint8_t* out) {
  for (int i = 0; i < n; ++i) out[i] = tap<1>(row, taps, i, 0);
}

void resample2(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  for (int i = 0; i < n; ++i) {
    out0[i] = tap<2>(row, taps, i, 0);
    out1[i] = tap<2>(row, taps, i, 1);
  }
}

void resample3(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  for (int i = 0; i < n; ++i) {
    out0[i] = tap<3>(row, taps, i, 0);
    out1[i] = tap<3>(row, taps, i, 1);
    out2[i] = tap<3>(row, taps, i, 2);
  }
}

template <int kChannels>
inline uint8_t direct(const uint8_t* a, const uint8_t* b, int w, Taps taps, int i, int channel) {
  const int o = taps.offset[i] + channel;
  const uint32_t wa = static_cast<uint32_t>(128 - w), wb = static_cast<uint32_t>(w), weights = taps.weights[i];
  const uint32_t near = a[o] * wa + b[o] * wb, far = a[o + kChannels] * wa + b[o + kChannels] * wb;
  return static_cast<uint8_t>((near * (weights & 0xffff) + far * (weights >> 16) + 8192) >> 14);
}

void direct2(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  for (int i = 0; i < n; ++i) {
    out0[i] = direct<2>(a, b, w, taps, i, 0);
    out1[i] = direct<2>(a, b, w, taps, i, 1);
  }
}

void direct3(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  for (int i = 0; i < n; ++i) {
    out0[i] = direct<3>(a, b, w, taps, i, 0);
    out1[i] = direct<3>(a, b, w, taps, i, 1);
    out2[i] = direct<3>(a, b, w, taps, i, 2);
  }
}

template <int kChannels>
inline uint8_t mean4(const uint8_t* a, const uint8_t* b, int i, int channel) {
  const int o = 2 * kChannels * i + channel;
  return static_cast<uint8_t>((a[o] + a[o + kChannels] + b[o] + b[o + kChannels] + 2) >> 2);
}

void half1(const uint8_t* a, const uint8_t* b, int n, uint8_t* out) {
  for (int i = 0; i < n; ++i) out[i] = mean4<1>(a, b, i, 0);
}

void half2(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1) {
  for (int i = 0; i < n; ++i) {
    out0[i] = mean4<2>(a, b, i, 0);
    out1[i] = mean4<2>(a, b, i, 1);
  }
}

void half3(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  for (int i = 0; i < n; ++i) {
    out0[i] = mean4<3>(a, b, i, 0);
    out1[i] = mean4<3>(a, b, i, 1);
    out2[i] = mean4<3>(a, b, i, 2);
  }
}

void split_yuyv(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv) {
  for (int i = 0; i < 2 * n; ++i) {
    y[i] = packed[2 * i];
    uv[i] = packed[2 * i + 1];
  }
}

void split_uyvy(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv) { split_yuyv(packed, n, uv, y); }

void accumulate(const uint8_t* row, int n, uint16_t* sum) {
  for (int i = 0; i < n; ++i) sum[i] = static_cast<uint16_t>(sum[i] + row[i]);
}

inline int mulhrs(int a, int b) { return (a * b + (1 << 14)) >> 15; }

inline uint8_t clamp_u8(int v) { return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v); }

void yuv_to_rgb(const uint8_t* y, const uint8_t* u, const uint8_t* v, int n, const YuvCoefficients& k, uint8_t* r, uint8_t* g, uint8_t* b) {
  for (int i = 0; i < n; ++i) {
    const int luma = mulhrs((y[i] - k.y_offset) * 128, k.y_gain) + 32;
    const int cu = (u[i] - 128) * 256, cv = (v[i] - 128) * 256;
    r[i] = clamp_u8((luma + mulhrs(cv, k.red_v)) >> 6);
    g[i] = clamp_u8((luma - (mulhrs(cu, k.green_u) + mulhrs(cv, k.green_v))) >> 6);
    b[i] = clamp_u8((luma + mulhrs(cu, k.blue_u)) >> 6);
  }
}

void copy_flip(const uint8_t* in, int n, uint8_t flip, uint8_t* out) {
  for (int i = 0; i < n; ++i) out[i] = in[i] ^ flip;
}

void interleave_flip(const uint8_t* c0, const uint8_t* c1, const uint8_t* c2, int n, uint8_t flip, uint8_t* out) {
  for (int i = 0; i < n; ++i) {
    out[3 * i] = c0[i] ^ flip;
    out[3 * i + 1] = c1[i] ^ flip;
    out[3 * i + 2] = c2[i] ^ flip;
  }
}

void to_float(const uint8_t* in, int n, float* out) {
  for (int i = 0; i < n; ++i) out[i] = static_cast<float>(in[i] - 128) * (1.0f / 128.0f);
}

void reverse(uint8_t* row, int n) {
  for (int i = 0, j = n - 1; i < j; ++i, --j) {
    const uint8_t t = row[i];
    row[i] = row[j];
    row[j] = t;
  }
}

void transpose(const uint8_t* in, ptrdiff_t in_stride, int columns, int rows, uint8_t* out, ptrdiff_t out_stride) {
  for (int x = 0; x < columns; ++x)
    for (int y = 0; y < rows; ++y) out[x * out_stride + y] = in[y * in_stride + x];
}

}  // namespace

const Kernels kScalar = {EF_ISA_SCALAR, blend_rows, resample1, resample2, resample3, direct2, direct3, half1, half2, half3, split_yuyv, split_uyvy,
                        accumulate, yuv_to_rgb, copy_flip, interleave_flip, to_float, reverse, transpose};

}  // namespace ef
