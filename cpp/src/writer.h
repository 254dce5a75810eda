// Finished pixels into the network's input tensor, whatever its layout and numbers.
#ifndef EDGEFACE_SRC_WRITER_H
#define EDGEFACE_SRC_WRITER_H

#include "context.h"
#include "geometry.h"

namespace ef {

struct Quantiser {
  bool flips;           // value = p ^ flip
  uint8_t flip;
  uint8_t table[256];   // else value = table[p]
};

// round(x), ties to even, for |x| < 2^51; x87 would need more, no supported target has it.
inline double round_even(double x) {
  const double magic = 6755399441055744.0;  // 1.5 * 2^52
  volatile double shifted = x + magic;
  return shifted - magic;
}

Quantiser quantiser_of(const ef_input& input);

// Writes horizontal pieces of finished pixels into the tensor.
class Writer {
 public:
  Writer(const ef_context& context, const ef_input& input)
      : kernels_(*context.kernels), interleaved_(context.scratch.interleaved), input_(input), width_(input.width), plane_(static_cast<size_t>(input.width) * input.height) {
    if (input.dtype != EF_DTYPE_FLOAT32) quantiser_ = quantiser_of(input);
  }

  void write(const uint8_t* const rgb[3], int n, size_t x, size_t y) const {
    const size_t at = y * width_ + x;
    if (input_.dtype == EF_DTYPE_FLOAT32) {
      float* out = static_cast<float*>(input_.data);
      if (input_.layout == EF_LAYOUT_NCHW) {
        for (int c = 0; c < 3; ++c) kernels_.to_float(rgb[c], n, out + c * plane_ + at);
      } else {
        kernels_.interleave_flip(rgb[0], rgb[1], rgb[2], n, 0, interleaved_);
        kernels_.to_float(interleaved_, 3 * n, out + 3 * at);
      }
      return;
    }
    uint8_t* out = static_cast<uint8_t*>(input_.data);
    const uint8_t flip = quantiser_.flips ? quantiser_.flip : 0;
    if (input_.layout == EF_LAYOUT_NCHW) {
      for (int c = 0; c < 3; ++c) {
        kernels_.copy_flip(rgb[c], n, flip, out + c * plane_ + at);
        if (!quantiser_.flips) look_up(out + c * plane_ + at, n);
      }
    } else {
      kernels_.interleave_flip(rgb[0], rgb[1], rgb[2], n, flip, out + 3 * at);
      if (!quantiser_.flips) look_up(out + 3 * at, 3 * n);
    }
  }

  // The letterbox border around the picture, real 0.
  void border(const Geometry& g) const {
    const size_t right = g.left + g.upright_width, bottom = g.top + g.upright_height;
    fill(0, g.top * width_);
    fill(bottom * width_, plane_);
    if (g.upright_width == width_) return;
    for (size_t y = g.top; y < bottom; ++y) {
      fill(y * width_, y * width_ + g.left);
      fill(y * width_ + right, (y + 1) * width_);
    }
  }

 private:
  void look_up(uint8_t* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = quantiser_.table[p[i]];
  }

  template <typename T>
  void fill(size_t begin, size_t end, T value) const {
    T* out = static_cast<T*>(input_.data);
    const bool planar = input_.layout == EF_LAYOUT_NCHW;
    for (int c = 0; c < (planar ? 3 : 1); ++c)
      for (size_t i = planar ? begin : 3 * begin; i < (planar ? end : 3 * end); ++i) out[c * plane_ + i] = value;
  }

  void fill(size_t begin, size_t end) const {
    if (input_.dtype == EF_DTYPE_FLOAT32)
      fill(begin, end, 0.0f);
    else
      fill(begin, end, quantiser_.table[128]);
  }

  const Kernels& kernels_;
  uint8_t* interleaved_;
  const ef_input& input_;
  size_t width_, plane_;
  Quantiser quantiser_;
};

}  // namespace ef
#endif
