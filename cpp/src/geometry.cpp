#include "geometry.h"

namespace ef {
namespace {

constexpr uint32_t kMaxBox = 64;  // so that a box sum fits the exact reciprocal division

// The shorter side of a letterbox, rounded half up.
uint32_t fitted(uint32_t side, uint32_t target, uint32_t other, uint32_t limit) {
  const uint64_t n = (2ull * side * target + other) / (2ull * other);
  return static_cast<uint32_t>(n < 1 ? 1 : n > limit ? limit : n);
}

}  // namespace

Geometry Geometry::of(const Rect& crop, uint32_t rotation, uint32_t tensor_width, uint32_t tensor_height, bool letterbox) {
  Geometry g;
  g.crop = crop;
  g.rotation = rotation;
  const bool turned = rotation % 180 != 0;
  const uint32_t width = turned ? crop.height : crop.width, height = turned ? crop.width : crop.height;
  g.upright_width = tensor_width;
  g.upright_height = tensor_height;
  if (letterbox) {
    if (static_cast<uint64_t>(width) * tensor_height >= static_cast<uint64_t>(height) * tensor_width)
      g.upright_height = fitted(height, tensor_width, width, tensor_height);
    else
      g.upright_width = fitted(width, tensor_height, height, tensor_width);
  }
  g.left = (tensor_width - g.upright_width) / 2;
  g.top = (tensor_height - g.upright_height) / 2;
  g.width = turned ? g.upright_height : g.upright_width;
  g.height = turned ? g.upright_width : g.upright_height;
  return g;
}

void Geometry::transform(double m[6]) const {
  const double w = crop.width, h = crop.height;
  const bool turned = rotation % 180 != 0;
  const double sx = (turned ? h : w) / upright_width, sy = (turned ? w : h) / upright_height;
  const double x0 = -(sx * left), y0 = -(sy * top);  // tensor to upright crop: (sx x + x0, sy y + y0)
  double a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
  switch (rotation) {
    case 90: b = sy, c = y0, d = -sx, f = h - x0; break;
    case 180: a = -sx, c = w - x0, e = -sy, f = h - y0; break;
    case 270: b = -sy, c = w - y0, d = sx, f = x0; break;
    default: a = sx, c = x0, e = sy, f = y0;
  }
  m[0] = a, m[1] = b, m[2] = c + crop.x, m[3] = d, m[4] = e, m[5] = f + crop.y;
}

Axis Axis::of(uint32_t start, uint32_t length, uint32_t subsample, uint32_t count, bool area, int step, int32_t* offsets, uint32_t* weights) {
  Axis axis;
  axis.first = start / subsample;
  const uint32_t pixels = (start + length + subsample - 1) / subsample - axis.first;
  axis.box = 1;
  if (area) {
    const uint32_t k = length / (subsample * count);
    axis.box = k < 1 ? 1 : k > kMaxBox ? kMaxBox : k;
  }
  axis.boxes = pixels / axis.box;
  axis.half = axis.boxes == 2 * count;
  axis.same = axis.boxes == count;
  // The centre of output i lies at ((start - subsample first) 2 count + (2 i + 1) length) / divisor boxes from the first box's edge.
  const int64_t divisor = 2ll * count * subsample * axis.box;
  int64_t numerator = 2ll * count * (start - axis.first * subsample) + length;
  const int32_t last = static_cast<int32_t>(axis.boxes) - 1;
  for (uint32_t i = 0; i < count; ++i, numerator += 2ll * length) {
    const int64_t position = (256 * numerator + divisor) / (2 * divisor) - 64;  // in 1/128 of a box, from the first box's centre
    int32_t index = 0;
    uint32_t fraction = 0;
    if (position > 0) {
      index = static_cast<int32_t>(position >> 7);
      fraction = static_cast<uint32_t>(position & 127);
      if (index >= last) {
        index = last;
        fraction = 0;
      }
    }
    axis.half = axis.half && index == static_cast<int32_t>(2 * i) && fraction == 64;
    axis.same = axis.same && index == static_cast<int32_t>(i) && fraction == 0;
    offsets[i] = index * step;
    weights[i] = (128 - fraction) | fraction << 16;
  }
  return axis;
}

}  // namespace ef
